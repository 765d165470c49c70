"""A socket that speaks AMQP 0-9-1: opened in order, read into one large buffer, written without blocking."""

from __future__ import annotations

import select
import socket
import time
from contextlib import ExitStack
from typing import Any

from pamqp import commands

from loadtest.engine.errors import LinkError
from loadtest.engine.frames import HEARTBEAT_FRAME, marshalled
from loadtest.engine.inbox import Inbox
from loadtest.engine.opening import TIMEOUT_S, Address, Greeting, called

#: A broker that is slow to answer still has to take back what is unacknowledged, before anybody counts it.
_GOODBYE_S = 5.0
_CLOSED = marshalled(commands.Connection.CloseOk(), channel=0)


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
            sock = socket.create_connection((address.host, address.port), timeout=TIMEOUT_S)
        except OSError as error:
            raise LinkError(f"no RabbitMQ answers at {address.host}:{address.port}: {error}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        inbox = Inbox()
        with ExitStack() as if_refused:
            if_refused.enter_context(sock)
            agreed = Greeting(sock, inbox).complete(address, name=name, heartbeat_s=heartbeat_s, frame_max=frame_max)
            if_refused.pop_all()
        sock.setblocking(False)
        return cls(sock, inbox, frame_max=agreed.frame_max, heartbeat_s=heartbeat_s, version=agreed.version)

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

    def read(self) -> bool:
        """Write and read what is possible at once; returns whether something was read.

        Raises:
            LinkError: the connection is lost, or silent for two heartbeats.
        """
        self.flush()
        read = bool(self.inbox.receive(self.sock))
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
        return called(self.sock, self.inbox, marshalled(method), answer)

    def close(self) -> None:
        """Say goodbye; no error if the other side is gone."""
        try:
            self.sock.settimeout(_GOODBYE_S)
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
