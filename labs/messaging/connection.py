"""One AMQP connection on the running event loop: awaitable, typed errors, and every end of it visible.

A connection never mends itself. Whoever uses it waits on `closed`, throws it away with its channels
and delivery tags, and opens another (`labs.messaging.supervision`).
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pika import URLParameters, exceptions
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel as PikaChannel
from pika.connection import Connection as PikaConnection
from pika.spec import Basic, BasicProperties

from labs.errors import BrokerError, BrokerRefused, BrokerUnavailable, ConfigurationError, TopologyMismatch
from labs.messaging.frames import TolerantConnection

T = TypeVar("T")
OnMessage = Callable[[PikaChannel, Basic.Deliver, BasicProperties, bytes], None]


def _settle(reply: asyncio.Future[T], value: T) -> None:
    """Set a result, unless whoever waited has gone."""
    if not reply.done():
        reply.set_result(value)


def _fail(reply: asyncio.Future[Any], error: BaseException) -> None:
    if not reply.done():
        reply.set_exception(error)


class Channel:
    """A channel whose methods can be awaited; `closed` resolves with the reason it ended."""

    def __init__(self, raw: PikaChannel) -> None:
        self.raw = raw
        self.closed: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        #: What a `get` in progress waits for; one callback serves all, since pika searches its callbacks one by one.
        self._getting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        raw.add_callback(lambda _: _settle(self._getting, None), [Basic.GetEmpty], one_shot=False)
        raw.add_on_close_callback(lambda _, reason: _settle(self.closed, translate(reason)))
        raw.add_on_cancel_callback(
            lambda _: _settle(self.closed, BrokerUnavailable("the broker cancelled the consumer"))
        )

    @property
    def is_open(self) -> bool:
        return self.raw.is_open and not self.closed.done()

    async def _call(self, send: Callable[..., Any], **arguments: Any) -> Any:
        """Send a method and wait for its answer, or for the channel's end."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            send(callback=lambda frame: _settle(reply, frame), **arguments)
        except exceptions.AMQPError as error:
            raise translate(error) from error
        await asyncio.wait({reply, self.closed}, return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            raise self.closed.result()
        return reply.result()

    async def declare_exchange(self, name: str, *, kind: str) -> None:
        await self._call(self.raw.exchange_declare, exchange=name, exchange_type=kind, durable=True)

    async def declare_queue(self, name: str, *, arguments: Mapping[str, Any] | None = None) -> None:
        await self._call(self.raw.queue_declare, queue=name, durable=True, arguments=dict(arguments or {}))

    async def bind_queue(self, queue: str, *, exchange: str, key: str) -> None:
        await self._call(self.raw.queue_bind, queue=queue, exchange=exchange, routing_key=key)

    async def queue_length(self, queue: str) -> int:
        """Messages ready in a queue.

        Raises:
            BrokerError: there is no such queue (which also closes this channel).
        """
        frame = await self._call(self.raw.queue_declare, queue=queue, passive=True)
        return int(frame.method.message_count)

    async def set_prefetch(self, count: int) -> None:
        await self._call(self.raw.basic_qos, prefetch_count=count)

    async def consume(self, queue: str, on_message: OnMessage, *, auto_ack: bool = False) -> str:
        """Start a consumer; returns its tag. With `auto_ack` a delivery counts as handled once it is sent."""

        def send(*, callback: Callable[[Any], None], **arguments: Any) -> None:
            self.raw.basic_consume(on_message_callback=on_message, callback=callback, **arguments)

        frame = await self._call(send, queue=queue, auto_ack=auto_ack)
        return str(frame.method.consumer_tag)

    async def cancel(self, consumer_tag: str) -> None:
        """Stop deliveries to a consumer."""
        await self._call(self.raw.basic_cancel, consumer_tag=consumer_tag)

    async def get(self, queue: str) -> tuple[Basic.GetOk, BasicProperties, bytes] | None:
        """Fetch one message without consuming, or None if the queue is empty."""
        self._getting = reply = asyncio.get_running_loop().create_future()
        try:
            self.raw.basic_get(queue, callback=lambda _, *message: _settle(reply, message))
        except exceptions.AMQPError as error:
            raise translate(error) from error
        await asyncio.wait({reply, self.closed}, return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            raise self.closed.result()
        message: tuple[Basic.GetOk, BasicProperties, bytes] | None = reply.result()
        return message

    async def confirm(self, on_confirm: Callable[[Any], None]) -> None:
        """Ask for publisher confirms."""

        def send(*, callback: Callable[[Any], None]) -> None:
            self.raw.confirm_delivery(ack_nack_callback=on_confirm, callback=callback)

        await self._call(send)

    async def close(self) -> None:
        """Close the channel and wait for the broker's answer, so that sent acks have arrived."""
        if self.raw.is_open:
            self.raw.close()
        await asyncio.wait({self.closed})


class Connection:
    """An open connection; made by `Connection.open`."""

    def __init__(self, raw: AsyncioConnection) -> None:
        self._raw = raw
        self.closed: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        #: The broker's words while it blocks publishing (memory or disk alarm), else None.
        self.blocked: str | None = None
        raw.add_on_close_callback(self._on_close)
        raw.add_on_connection_blocked_callback(self._on_blocked)
        raw.add_on_connection_unblocked_callback(lambda *_: setattr(self, "blocked", None))

    @classmethod
    async def open(cls, url: str, *, name: str, heartbeat_s: int = 30, timeout_s: float = 10.0) -> Connection:
        """Connect to a broker.

        Args:
            url: amqp:// or amqps:// with user, password and virtual host.
            name: shown in the management UI.
            heartbeat_s: seconds between heartbeats.
            timeout_s: seconds for the whole handshake.

        Raises:
            BrokerUnavailable: nothing answers in time.
            BrokerRefused: wrong credentials or virtual host.
            ConfigurationError: the URL can't be read.
        """
        parameters = _parameters(url, name=name, heartbeat_s=heartbeat_s, timeout_s=timeout_s)
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        raw = TolerantConnection(
            parameters,
            on_open_callback=lambda raw: _settle(opened, raw),
            on_open_error_callback=lambda _, error: _fail(opened, translate(error)),
            custom_ioloop=asyncio.get_running_loop(),
        )
        try:
            async with asyncio.timeout(timeout_s):
                return cls(await opened)
        except TimeoutError:
            _abandon(raw)
            raise BrokerUnavailable(f"no AMQP handshake within {timeout_s:g} s at {parameters.host}") from None
        except asyncio.CancelledError:
            _abandon(raw)
            raise

    def _on_close(self, _: PikaConnection, reason: BaseException) -> None:
        _settle(self.closed, translate(reason))

    def _on_blocked(self, _: PikaConnection, method: Any) -> None:
        self.blocked = str(method.method.reason)

    @property
    def broker_version(self) -> tuple[int, ...]:
        """The broker's version, for the few places where behaviour differs."""
        version = str((self._raw.server_properties or {}).get("version", "0"))
        return tuple(int(number) for number in re.findall(r"\d+", version)[:3])

    async def channel(self) -> Channel:
        """Open a channel.

        Raises:
            BrokerUnavailable: the connection is lost.
        """
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            raw = self._raw.channel(on_open_callback=lambda raw: _settle(opened, raw))
        except exceptions.AMQPError as error:
            raise translate(error) from error
        channel = Channel(raw)
        ends: set[asyncio.Future[Any]] = {opened, self.closed, channel.closed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            raise self.closed.result() if self.closed.done() else channel.closed.result()
        return channel

    async def close(self) -> None:
        """Close in good order; safe to call twice, or after the broker has gone."""
        _abandon(self._raw)
        if not self.closed.done():
            await asyncio.wait({self.closed}, timeout=5)


def _abandon(raw: AsyncioConnection) -> None:
    if not (raw.is_closed or raw.is_closing):
        raw.close()


@functools.lru_cache(maxsize=64)
def check_url(url: str) -> None:
    """Raise `ConfigurationError` for what is not an AMQP URL, before anything tries to connect to it."""
    _parameters(url, name="", heartbeat_s=0, timeout_s=1)


def _parameters(url: str, *, name: str, heartbeat_s: int, timeout_s: float) -> URLParameters:
    try:
        parameters = URLParameters(url) if url.startswith(("amqp://", "amqps://")) else None
    except (ValueError, TypeError, KeyError):  # whose texts quote parts of the URL, perhaps of the password
        parameters = None
    if parameters is None:
        raise ConfigurationError(
            "this is not an AMQP URL: amqp://user:password@host:5672/vhost, with %XX for special characters"
        )
    parameters.heartbeat = heartbeat_s
    parameters.socket_timeout = timeout_s
    parameters.stack_timeout = timeout_s
    parameters.connection_attempts = 1
    parameters.client_properties = {"connection_name": name}
    return parameters


def translate(error: BaseException | None) -> BrokerError:
    """The lab's error for one of pika's."""
    if isinstance(error, BrokerError):
        return error
    root = _root(error)
    if isinstance(root, exceptions.ChannelClosedByBroker | exceptions.ConnectionClosedByBroker):
        return _closed_by_broker(root.reply_code, root.reply_text)
    if isinstance(root, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError):
        return BrokerRefused("the broker refused the user or its password")
    if isinstance(root, exceptions.ProbableAccessDeniedError):
        return BrokerRefused("the broker refused the virtual host")
    if isinstance(root, exceptions.ConnectionClosedByClient | exceptions.ChannelClosedByClient):
        return BrokerUnavailable("closed by us")
    return BrokerUnavailable(f"the broker can't be reached: {type(root).__name__}: {root}"[:300])


def _closed_by_broker(code: int, text: str) -> BrokerError:
    if code == 406 and "inequivalent" in text:
        return TopologyMismatch(f"{text}: delete that queue or exchange, or use another virtual host")
    if code in {403, 530}:
        return BrokerRefused(text)
    return BrokerUnavailable(f"closed by the broker: {code} {text}")


def _root(error: BaseException | None) -> BaseException | None:
    """The cause inside pika's workflow errors."""
    while True:
        inner = getattr(error, "exceptions", None) or (getattr(error, "exception", None),)
        if not isinstance(inner[-1], BaseException):
            return error
        error = inner[-1]
