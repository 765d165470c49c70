"""A worker's or relay's own small HTTP server: /healthz and /metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from labs.errors import ConfigurationError
from labs.settings import Settings

_MOST_HEADER_BYTES = 8192


@contextlib.asynccontextmanager
async def serve_monitor(settings: Settings, *, healthy: Callable[[], bool]) -> AsyncIterator[None]:
    """Serve for the length of a block, if LAB_METRICS_PORT is set.

    Raises:
        ConfigurationError: the port is taken.
    """
    if settings.metrics_port == 0:
        yield
        return
    try:
        server = await asyncio.start_server(
            lambda reader, writer: _answer(reader, writer, healthy),
            settings.metrics_host,
            settings.metrics_port,
            limit=_MOST_HEADER_BYTES,
        )
    except OSError as error:
        raise ConfigurationError(f"LAB_METRICS_PORT={settings.metrics_port} can't be used: {error.strerror}") from None
    async with server:
        yield


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, healthy: Callable[[], bool]) -> None:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(5):
            request = await reader.readuntil(b"\r\n\r\n")
            path = [*request.split(b" ", 2), b""][1]
            status, kind, body = _content(path, healthy())
            head = (
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
    writer.close()


def _content(path: bytes, well: bool) -> tuple[str, str, bytes]:
    if path == b"/metrics":
        return "200 OK", CONTENT_TYPE_LATEST, generate_latest()
    if path == b"/healthz":
        body = b'{"status": "ok"}' if well else b'{"status": "degraded"}'
        return ("200 OK" if well else "503 Service Unavailable"), "application/json", body
    return "404 Not Found", "text/plain", b"there is /healthz and /metrics\n"
