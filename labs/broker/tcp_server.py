"""A TCP server on loopback in a thread of its own: what stands between a program and a broker listens with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

#: The two sides of one connection.
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class TcpServer:
    """Listens on a port of 127.0.0.1 (`port`) from `start` to `stop`.

    Args:
        serve: called for each connection; when it returns or raises an `OSError` the connection is closed at once.
        name: of the thread.
    """

    def __init__(self, serve: Callable[[Ends], Awaitable[None]], *, name: str) -> None:
        self.port = 0
        self._serve = serve
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Listen; once."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close everything."""
        self.call(self._stop.set)
        self._thread.join()

    def call(self, function: Callable[[], object]) -> None:
        """Have the server's thread call something, soon."""
        self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        self._stop = asyncio.Event()
        self._connections: set[asyncio.Task[Any]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve((reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # the other side is away, or this one is closed: the program is told below
        finally:
            writer.transport.abort()
            self._connections.discard(task)
