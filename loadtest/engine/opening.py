"""The first words on a connection, up to an open channel, and other methods that wait for their answer."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from pamqp import commands

from loadtest.engine.errors import LinkError, Refused
from loadtest.engine.frames import METHOD, Frame, decoded, frames, marshalled
from loadtest.engine.inbox import Inbox

_CAPABILITIES: dict[str, Any] = {
    "publisher_confirms": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "authentication_failure_close": True,
}
#: For a connection, and for an answer.
TIMEOUT_S = 10.0


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


@dataclass(frozen=True)
class Agreed:
    """What both sides have agreed on, and the broker's version."""

    frame_max: int
    version: str


def _introduction(name: str) -> dict[str, Any]:
    return {"product": "RabbitMQ Lab", "connection_name": name, "capabilities": _CAPABILITIES}


class Greeting:
    """The first words on a connection."""

    def __init__(self, sock: socket.socket, inbox: Inbox) -> None:
        self._sock, self._inbox = sock, inbox

    def complete(self, address: Address, *, name: str, heartbeat_s: int, frame_max: int) -> Agreed:
        """Log in and open a channel; see `Link.open`."""
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
        return Agreed(frame_max, version)

    def _say(self, data: bytes, answer: type) -> Any:
        return called(self._sock, self._inbox, data, answer)


def called(sock: socket.socket, inbox: Inbox, data: bytes, answer: type) -> Any:
    """Send a method and wait for its answer.

    Raises:
        LinkError: the broker closes channel or connection instead, or doesn't answer; the text has its reason.
    """
    before = sock.gettimeout()
    sock.settimeout(TIMEOUT_S)
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
        raise LinkError(f"the broker did not answer within {TIMEOUT_S:g} s") from error
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
