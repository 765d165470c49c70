"""A small HTTP/1.1 server whose handlers learn at once that a client left, and may break the connection.

One request at a time per connection; a handler is cancelled when its client goes away. Frameworks hide the
TCP connection, and a stub that must reset it, drip into it or ignore it needs exactly that.
"""

from __future__ import annotations

import asyncio
import http
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import httptools

#: More than any prompt; a body beyond it gets 413.
MAX_BODY_BYTES = 16 * 1024 * 1024

#: SO_LINGER on, for zero seconds: closing sends RST instead of FIN.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_STATUS_LINES = {int(s): f"HTTP/1.1 {int(s)} {s.phrase}\r\n" for s in http.HTTPStatus}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A complete request; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Reply:
    """What a handler may do to the connection it answers on."""

    def __init__(self, transport: asyncio.Transport, *, keep_alive: bool) -> None:
        self._transport = transport
        self._keep_alive = keep_alive
        self.started = False

    def send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        content_type: str = "application/json",
    ) -> None:
        """Send a whole response."""
        self.begin(status, length=len(body), headers=headers, content_type=content_type, then=body)

    def begin(
        self,
        status: int,
        *,
        length: int | None,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        then: bytes = b"",
    ) -> None:
        """Send the head of a response; without a length the body is chunked: see `chunk` and `end_chunks`."""
        self.started = True
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        lines = [_STATUS_LINES[status], f"content-type: {content_type}\r\n{framing}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in (headers or {}).items()]
        lines.append("\r\n" if self._keep_alive else "connection: close\r\n\r\n")
        self._transport.write("".join(lines).encode("latin-1", "replace") + then)

    def write(self, data: bytes) -> None:
        """Send bytes of a body whose length was announced."""
        self._transport.write(data)

    def chunk(self, data: bytes) -> None:
        """Send a piece of a chunked body."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end_chunks(self) -> None:
        """End a chunked body."""
        self._transport.write(b"0\r\n\r\n")

    def close(self) -> None:
        """Hang up, whatever was announced, after what was written has been sent."""
        self._transport.close()

    def reset(self) -> None:
        """Reset the TCP connection: the client sees ECONNRESET."""
        descriptor = self._transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(descriptor)) as twin:  # uvloop's own object can't set options
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()


Handler = Callable[[Request, Reply], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client; hands complete requests to the handler, one after the other."""

    def __init__(self, handler: Handler, *, connections: set[Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, though no subclass
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "this server upgrades to no other protocol")
        except httptools.HttpParserError:
            self._refuse(400, "this is not HTTP/1.1")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._connections.discard(self)
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    def abort(self) -> None:
        """Drop the connection at once; its handler is cancelled."""
        self._transport.abort()

    # What the parser calls

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > MAX_BODY_BYTES:
            self._body.clear()
            self._refuse(413, f"the body is over {MAX_BODY_BYTES} bytes")
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._transport.is_closing():
            return
        target = urlsplit(self._url.decode("latin-1"))
        request = Request(
            method=self._parser.get_method().decode(),
            path=target.path,
            query=dict(parse_qsl(target.query)),
            headers=self._headers,
            body=b"".join(self._body),
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        if self._task is None:
            self._next()

    def _next(self) -> None:
        request, keep_alive = self._waiting.popleft()
        self._task = asyncio.get_running_loop().create_task(self._serve(request, keep_alive=keep_alive))

    async def _serve(self, request: Request, *, keep_alive: bool) -> None:
        reply = Reply(self._transport, keep_alive=keep_alive)
        try:
            await self._handler(request, reply)
        except Exception:
            _log.exception("the handler of %s %s failed", request.method, request.path)
            keep_alive = False
            if not reply.started:
                reply.send(500, b'{"error":{"message":"the stub has a bug: see its log","type":"server_error"}}')
        if not keep_alive:
            self._transport.close()
        self._task = None
        if self._waiting and not self._transport.is_closing():
            self._next()

    def _refuse(self, status: int, message: str) -> None:
        if not self._transport.is_closing():
            body = b'{"error":{"message":"%b","type":"invalid_request_error"}}' % message.encode()
            Reply(self._transport, keep_alive=False).send(status, body)
            self._transport.close()
