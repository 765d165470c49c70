"""A TCP proxy before the broker that passes every frame on, and writes down what it saw before it does.

What a program is told by the broker is therefore in the history before the program knows, and what a program says
is in it before the broker knows: an ack that stands before a commit was sent before that commit. A slow side slows
the other, as without us. Where the broker doesn't answer, the program's connection is closed at once.
What else befalls frames is the weather's doing (`labs.trial.tap.weather`); it is calm unless a fault makes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from labs.broker.tcp_server import Ends, TcpServer
from labs.trial.history import History
from labs.trial.tap.connection import Connection
from labs.trial.tap.weather import Weather

W = TypeVar("W", bound=Weather)


class Tap:
    """Listens on a port of its own (`port`) for a broker; runs in a thread. A context manager.

    Args:
        history: to write in.
        broker_port: of the broker.
        broker_host: of the broker.
    """

    def __init__(self, history: History, *, broker_port: int, broker_host: str = "127.0.0.1") -> None:
        self._broker = broker_host, broker_port
        self._history = history
        self._weather = Weather()
        self._server = TcpServer(self._pass_on, name="tap")

    @property
    def port(self) -> int:
        return self._server.port

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @contextmanager
    def under(self, weather: W) -> Iterator[W]:
        """Put everything that passes under a weather for the length of a block; then it is calm again."""
        self._weather = weather
        try:
            yield weather
        finally:
            self._weather = Weather()
            self._server.call(weather.over)

    async def _pass_on(self, program: Ends) -> None:
        broker = await asyncio.open_connection(*self._broker)
        await Connection(self._history, lambda: self._weather).run(program, broker)
