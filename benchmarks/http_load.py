"""An open-model HTTP load: requests leave on an absolute schedule, and latency counts from the intended time.

A client that waits for an answer before it sends the next request hides every stall of the server; this one does
not. It costs about 0.1 ms of CPU a request, since it shares two cores with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

#: An answer that takes longer counts as a failure of the server.
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """One request's outcome; times in seconds."""

    status: int
    body: bytes
    #: From the moment the schedule named.
    latency_s: float
    #: How late it was sent: the load generator's own fault.
    send_delay_s: float


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._done: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._done and not self._done.done():
            self._done.set_exception(error or ConnectionResetError("the server closed the connection"))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._done and not self._done.done():
            self._done.set_result((self._parser.get_status_code(), bytes(self._body)))
        self._body.clear()
        self._parser = httptools.HttpResponseParser(self)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        assert self.transport is not None
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._done


@dataclass
class OpenLoad:
    """Requests to one server at a given rate.

    Args:
        url: of the server.
        make_request: the bytes of the n-th request.
    """

    url: str
    make_request: Callable[[int], bytes]
    _idle: list[_Connection] = field(default_factory=list)

    async def run(self, *, rate: float, seconds: float) -> list[Answer]:
        """Send `rate` requests a second for that long; returns when all are answered."""
        started = time.perf_counter() + 0.05
        sent = []
        for number in range(int(rate * seconds)):
            intended = started + number / rate
            delay = intended - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            sent.append(asyncio.create_task(self._one(number, intended)))
        return await asyncio.gather(*sent)

    async def all_at_once(self, count: int) -> list[Answer]:
        """Send that many requests with no wait between them."""
        now = time.perf_counter()
        return await asyncio.gather(*(self._one(number, now) for number in range(count)))

    async def _one(self, number: int, intended: float) -> Answer:
        sent = time.perf_counter()
        connection = await self._connection()
        async with asyncio.timeout(_TIMEOUT_S):
            status, body = await connection.ask(self.make_request(number))
        self._idle.append(connection)
        return Answer(status, body, time.perf_counter() - intended, sent - intended)

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.transport is not None:  # else the server has closed it meanwhile
                return connection
        parts = urlsplit(self.url)
        host, port = parts.hostname or "127.0.0.1", parts.port or 80
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port)
        return connection


def post(path: str, body: dict[str, str], *, token: str) -> bytes:
    """The bytes of a POST request."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: lab\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of the values doesn't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * len(ordered) * 1000) // 1000) - 1))]
