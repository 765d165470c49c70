"""A TCP proxy between a client and a real server: it can hold either direction, cut, and count connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on, as long as it is told to."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._to_server = asyncio.Event()
        self._to_client = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        #: Connections that clients have opened so far.
        self.accepted = 0
        self.release()

    @property
    def url(self) -> str:
        """The target's URL, by way of this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        credentials = self._target.netloc.rpartition("@")[0]
        return self._target._replace(netloc=f"{credentials}@127.0.0.1:{port}").geturl()

    def hold_to_server(self) -> None:
        """What clients send waits here."""
        self._to_server.clear()

    def hold_to_client(self) -> None:
        """What the server sends waits here."""
        self._to_client.clear()

    def strand(self) -> asyncio.Event:
        """What the server sends on the connections of now waits until the event is set; later ones are served."""
        gate, self._to_client = self._to_client, asyncio.Event()
        gate.clear()
        self._to_client.set()
        return gate

    def release(self) -> None:
        self._to_server.set()
        self._to_client.set()

    def cut(self) -> None:
        """Cut all connections, without a word to either side."""
        for writer in self._writers:
            writer.transport.abort()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        server_reader, server_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers |= {writer, server_writer}
        for source, sink, gate in (
            (reader, server_writer, self._to_server),
            (server_reader, writer, self._to_client),
        ):
            task = asyncio.create_task(_pass_on(source, sink, gate))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            await gate.wait()
            sink.write(data)
            await sink.drain()
    sink.close()


@contextlib.asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy to the server of a URL."""
    proxy = Proxy(url)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
