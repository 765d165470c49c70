"""A load balancer before the nodes of a cluster: each connection goes to the next one that answers, and stays there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from labs.broker.tcp_server import Ends, TcpServer

_CHUNK = 64 * 1024
_CONNECT_TIMEOUT_S = 2.0


class Balancer:
    """Listens on a port of 127.0.0.1 (`port`) from `start` to `stop`; runs in a thread.

    When a node dies, its connections are closed, as a client of the node would see it. Where no node answers, a
    connection is closed at once.
    """

    def __init__(self, ports: Callable[[], Sequence[int]]) -> None:
        self._ports = ports
        self._turn = 0
        self._server = TcpServer(self._pass_to_a_node, name="balancer")

    @property
    def port(self) -> int:
        return self._server.port

    def start(self) -> None:
        """Listen; once."""
        self._server.start()

    def stop(self) -> None:
        """Close everything."""
        self._server.stop()

    async def _pass_to_a_node(self, program: Ends) -> None:
        node = await self._next()
        if node is not None:
            await _join(program, node)

    async def _next(self) -> Ends | None:
        """A connection to the node whose turn it is, or to the first one after it that answers."""
        ports = self._ports()
        self._turn += 1
        for number in range(len(ports)):
            port = ports[(self._turn + number) % len(ports)]
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    return await asyncio.open_connection("127.0.0.1", port)
        return None


async def _join(program: Ends, node: Ends) -> None:
    """Pass everything on until one side closes; then what was passed on last is written, and both are closed."""
    both = [
        asyncio.ensure_future(_pass_on(program[0], node[1])),
        asyncio.ensure_future(_pass_on(node[0], program[1])),
    ]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await program[1].drain()
                program[1].close()
                await program[1].wait_closed()
        node[1].transport.abort()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()
