"""A socket that speaks AMQP 0-9-1: opened in order, read into one large buffer, written without blocking."""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from pamqp import commands

from loadtest.engine.frames import HEARTBEAT_FRAME, METHOD, Bytes, Frame, decoded, frames, marshalled

_CAPABILITIES: dict[str, Any] = {
    "publisher_confirms": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "authentication_failure_close": True,
}
_TIMEOUT_S = 10.0
_CLOSED = marshalled(commands.Connection.CloseOk(), channel=0)
_BUFFER = 1 << 20


class LinkError(Exception):
    """The connection could not be opened, or is lost; the text says why."""


class Refused(LinkError):
    """The broker closed channel or connection, and said why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the broker refuses: {code} {text}")
        #: AMQP's reply code.
        self.code = code


@dataclass(frozen=True)
class Address:
    """Where a broker is."""

    host: str
    port: int
    user: str
    password: str
    virtual_host: str

    @classmethod
    def of(cls, url: str) -> Address:
        """Read an `amqp://` URL.

        Raises:
            LinkError: it is none; or it asks for TLS, which the engine doesn't speak (the stock clients do).
        """
        parts = urlsplit(url)
        if parts.scheme == "amqps":
            raise LinkError("the engine speaks plain AMQP alone: choose the client pika or aio-pika for amqps://")
        if parts.scheme != "amqp" or not parts.hostname:
            raise LinkError("this is not an AMQP URL: amqp://user:password@host:5672/vhost")
        path = parts.path.removeprefix("/")
        return cls(
            parts.hostname,
            parts.port or 5672,
            unquote(parts.username or "guest"),
            unquote(parts.password or "guest"),
            unquote(path) or "/",
        )


class Inbox:
    """What was read and not yet taken: one buffer, in which whole rows can be looked at without copying."""

    def __init__(self, capacity: int = _BUFFER) -> None:
        self._bytes = bytearray(capacity)
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def data(self) -> memoryview:
        """What is there; good until the next `receive`."""
        return memoryview(self._bytes)[self._start : self._end]

    @property
    def array(self) -> Bytes:
        """The same for numpy."""
        return np.frombuffer(self.data, np.uint8)

    def receive(self, sock: socket.socket) -> int:
        """Read what the socket has; returns how many bytes.

        Raises:
            LinkError: the other side has closed.
        """
        self._make_room()
        try:
            count = sock.recv_into(memoryview(self._bytes)[self._end :])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise LinkError(f"the connection was lost: {error.strerror or error}") from error
        if count == 0:
            raise LinkError("the broker closed the connection")
        self._end += count
        return count

    def feed(self, data: bytes) -> None:
        """Take bytes from elsewhere."""
        self._make_room(len(data))
        self._bytes[self._end : self._end + len(data)] = data
        self._end += len(data)

    def drop(self, count: int) -> None:
        """Forget the first bytes: they are dealt with."""
        self._start += count

    def _make_room(self, wanted: int = 1) -> None:
        if self._start == self._end:
            self._start = self._end = 0
        room = len(self._bytes) - self._end
        if room >= max(wanted, len(self._bytes) // 4):
            return
        kept = bytes(self.data)
        if len(kept) + wanted > len(self._bytes) // 2:
            # A message larger than the buffer: views of the old one stay valid, it is only left behind.
            self._bytes = bytearray(2 * max(len(self._bytes), len(kept) + wanted))
        self._bytes[: len(kept)] = kept
        self._start, self._end = 0, len(kept)


class Link:
    """An open connection with one channel; made by `Link.open`."""

    def __init__(self, sock: socket.socket, inbox: Inbox, *, frame_max: int, heartbeat_s: int, version: str) -> None:
        self.sock = sock
        self.inbox = inbox
        self.frame_max = frame_max
        self.version = version
        self._pending = memoryview(b"")
        self._heartbeat_s = heartbeat_s
        self._sent_at = self._heard_at = time.monotonic()

    @classmethod
    def open(cls, url: str, *, name: str, heartbeat_s: int = 30, frame_max: int = 131_072) -> Link:
        """Connect, log in, open a channel.

        Args:
            url: `amqp://user:password@host:port/vhost`.
            name: shown in the management UI.
            heartbeat_s: seconds between heartbeats.
            frame_max: the largest frame that we offer to take.

        Raises:
            LinkError: nothing answers, or the broker refuses us.
        """
        address = Address.of(url)
        try:
            sock = socket.create_connection((address.host, address.port), timeout=_TIMEOUT_S)
        except OSError as error:
            raise LinkError(f"no RabbitMQ answers at {address.host}:{address.port}: {error}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            link = _Greeting(sock, Inbox()).complete(address, name=name, heartbeat_s=heartbeat_s, frame_max=frame_max)
        except BaseException:
            sock.close()
            raise
        sock.setblocking(False)
        return link

    def send(self, data: memoryview | bytes) -> None:
        """Write as much as the socket takes; the rest is `pending`, and must be flushed before the next `send`.

        Raises:
            LinkError: the connection is lost.
        """
        assert not self._pending
        self._pending = memoryview(data)
        self.flush()

    @property
    def pending(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._pending)

    def flush(self) -> None:
        """Write what is pending, as far as the socket takes it."""
        while self._pending:
            try:
                written = self.sock.send(self._pending)
            except BlockingIOError:
                return
            except OSError as error:
                raise LinkError(f"the connection was lost: {error.strerror or error}") from error
            self._pending = self._pending[written:]
            self._sent_at = time.monotonic()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to read, or room for what is pending; returns whether something was read.

        Raises:
            LinkError: the connection is lost, or silent for two heartbeats.
        """
        readable, writable, _ = select.select([self.sock], [self.sock] if self._pending else [], [], timeout_s)
        if writable:
            self.flush()
        read = bool(readable and self.inbox.receive(self.sock))
        self._beat(heard=read)
        return read

    def _beat(self, *, heard: bool) -> None:
        if not self._heartbeat_s:
            return
        now = time.monotonic()
        if heard:
            self._heard_at = now
        elif now - self._heard_at > 2 * self._heartbeat_s:
            raise LinkError(f"nothing was heard from the broker for {2 * self._heartbeat_s} s")
        if now - self._sent_at > self._heartbeat_s / 2 and not self._pending:
            self.send(HEARTBEAT_FRAME)

    def call(self, method: Any, answer: type) -> Any:
        """Send a method and wait for its answer, before anything else is under way on this link.

        Raises:
            LinkError: the broker closes channel or connection instead; the text has its reason.
        """
        return _called(self.sock, self.inbox, marshalled(method), answer)

    def close(self) -> None:
        """Say goodbye; no error if the other side is gone."""
        try:
            self.sock.settimeout(1)
            self.sock.sendall(bytes(self._pending) + marshalled(_goodbye(), channel=0))
            heard = b""
            # The broker answers at once, and closes the socket itself a second later: nobody needs to wait for that.
            while _CLOSED not in heard and (data := self.sock.recv(65536)):
                heard = heard[-len(_CLOSED) :] + data
        except OSError:
            pass
        finally:
            self.sock.close()


def _goodbye() -> commands.Connection.Close:
    return commands.Connection.Close(reply_code=200, reply_text="done", class_id=0, method_id=0)


def _introduction(name: str) -> dict[str, Any]:
    return {"product": "RabbitMQ Lab", "connection_name": name, "capabilities": _CAPABILITIES}


class _Greeting:
    """The first words on a connection."""

    def __init__(self, sock: socket.socket, inbox: Inbox) -> None:
        self._sock, self._inbox = sock, inbox

    def complete(self, address: Address, *, name: str, heartbeat_s: int, frame_max: int) -> Link:
        start = self._say(b"AMQP\x00\x00\x09\x01", commands.Connection.Start)
        version = str(start.server_properties.get("version", "0"))
        login = commands.Connection.StartOk(
            client_properties=_introduction(name),
            mechanism="PLAIN",
            response=f"\0{address.user}\0{address.password}",
            locale="en_US",
        )
        tune = self._say(marshalled(login, channel=0), commands.Connection.Tune)
        # Zero means that the broker sets no limit.
        frame_max = min(frame_max, tune.frame_max or frame_max)
        tuned = commands.Connection.TuneOk(channel_max=1, frame_max=frame_max, heartbeat=heartbeat_s)
        opened = commands.Connection.Open(virtual_host=address.virtual_host)
        self._say(marshalled(tuned, channel=0) + marshalled(opened, channel=0), commands.Connection.OpenOk)
        self._say(marshalled(commands.Channel.Open()), commands.Channel.OpenOk)
        return Link(self._sock, self._inbox, frame_max=frame_max, heartbeat_s=heartbeat_s, version=version)

    def _say(self, data: bytes, answer: type) -> Any:
        return _called(self._sock, self._inbox, data, answer)


def _called(sock: socket.socket, inbox: Inbox, data: bytes, answer: type) -> Any:
    before = sock.gettimeout()
    sock.settimeout(_TIMEOUT_S)
    try:
        sock.sendall(data)
        while True:
            method = _next_method(inbox)
            if method is None:
                inbox.receive(sock)
            elif isinstance(method, answer):
                return method
            else:
                refuse_if_closed(method)
    except TimeoutError as error:
        raise LinkError(f"the broker did not answer within {_TIMEOUT_S:g} s") from error
    except OSError as error:
        raise LinkError(f"the connection was lost: {error.strerror or error}") from error
    finally:
        if sock.fileno() >= 0:
            sock.settimeout(before)


def _next_method(inbox: Inbox) -> Any | None:
    if len(inbox) >= 4 and bytes(inbox.data[:4]) == b"AMQP":
        raise LinkError("the broker doesn't speak AMQP 0-9-1")
    found: Frame | None = next(frames(inbox.data), None)
    if found is None:
        return None
    method = decoded(found) if found.kind == METHOD else found
    inbox.drop(found.end)
    return method


def refuse_if_closed(method: Any) -> None:
    """Raise `LinkError` if the broker has closed channel or connection with this method, or cancelled the consumer."""
    if isinstance(method, commands.Connection.Close | commands.Channel.Close):
        raise Refused(method.reply_code or 0, method.reply_text)
    if isinstance(method, commands.Basic.Cancel):
        raise LinkError("the broker cancelled the consumer: its queue is gone")
