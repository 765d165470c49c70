"""A publisher on its own connection: persistent, mandatory, confirmed; silence is never success.

`publish` returns when the broker has taken responsibility. On a crash of this process before that,
the message may or may not be there: whoever must know keeps an outbox. A repeated publish makes a
duplicate with the same `message_id`, which consumers drop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog
from pika import exceptions
from pika.spec import Basic, BasicProperties

from labs.errors import BrokerError, BrokerUnavailable, Nacked, PublishError, Unconfirmed, Unroutable
from labs.messaging.connection import Channel, Connection, check_url, translate
from labs.messaging.message import Message
from labs.messaging.refusals import Refusals
from labs.messaging.supervision import keep_connected
from labs.messaging.topology import Topology, declare

log = structlog.get_logger()

Prepare = Callable[[Channel], Awaitable[None]]


@dataclass
class PublisherStatistics:
    """Counts since the start."""

    confirmed: int = 0
    returned: int = 0
    nacked: int = 0
    unconfirmed: int = 0
    connects: int = 0

    def count(self, error: PublishError | None) -> None:
        if error is None:
            self.confirmed += 1
        elif isinstance(error, Unroutable):
            self.returned += 1
        elif isinstance(error, Nacked):
            self.nacked += 1
        else:
            self.unconfirmed += 1


@dataclass
class _Outstanding:
    confirmed: asyncio.Future[None]
    deadline: float
    #: What the broker's return of it would name.
    message_id: str | None
    exchange: str
    routing_key: str
    returned: str | None = None


class Publisher:
    """Publishes from one process; reconnects by itself, and says so to those who wait.

    Args:
        url: the broker.
        name: of the connection, shown in the management UI.
        prepare: run on each new channel, for example to declare a topology.
        window: most messages without a confirm at once; more callers wait.
        timeout_s: seconds for a connection to come up, and for a confirm to arrive. When one doesn't, the connection is
            given up: the broker still owes it, and would owe more with each message that is published again. Also those
            after which a channel on which the broker refuses all messages for a queue is replaced
            (`labs.messaging.refusals`).
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        prepare: Prepare | None = None,
        window: int = 1000,
        timeout_s: float = 10.0,
        heartbeat_s: int = 30,
    ) -> None:
        check_url(url)
        self._url = url
        self._name = name
        self._prepare = prepare
        self._timeout_s = timeout_s
        self._heartbeat_s = heartbeat_s
        self._window = asyncio.Semaphore(window)
        self._connection: Connection | None = None
        self._channel: Channel | None = None
        self._silence: asyncio.Future[BrokerError] | None = None
        self._ready = asyncio.Event()
        self._last_error: BrokerError = BrokerUnavailable("not connected yet")
        self._tag = 0
        self._outstanding: OrderedDict[int, _Outstanding] = OrderedDict()
        self._refusals = Refusals(patience_s=timeout_s)
        self._tasks: list[asyncio.Task[None]] = []
        self.statistics = PublisherStatistics()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._expire())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; messages still without a confirm raise `Unconfirmed` where they are awaited."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    @property
    def connected(self) -> bool:
        return self._ready.is_set()

    async def wait_connected(self, *, timeout_s: float | None = None) -> None:
        """Wait for a usable connection.

        Raises:
            BrokerUnavailable: none came up in time; or the broker blocks publishers (an alarm).
            BrokerError: the reason that the last try gave, for example refused credentials.
        """
        if self._ready.is_set():
            return
        try:
            async with asyncio.timeout(self._timeout_s if timeout_s is None else timeout_s):
                await self._ready.wait()
        except TimeoutError:
            raise self._last_error from None

    async def declare(self, topology: Topology) -> None:
        """Declare a topology, on a channel of its own: a refusal harms no message that is on its way.

        Raises:
            TopologyMismatch: something of that name exists with other arguments.
            BrokerError: the broker can't be asked, or refuses.
        """
        await self.wait_connected()
        if self._connection is None:
            raise self._last_error
        channel = await self._connection.channel()
        try:
            await declare(channel, topology)
        finally:
            await channel.close()

    async def publish(self, message: Message, *, exchange: str, routing_key: str) -> None:
        """Publish a message and wait until the broker has taken it.

        Raises:
            Unroutable: no queue is bound for it; it is not stored anywhere.
            Nacked: the broker refused it.
            Unconfirmed: the confirm did not come in time or the connection broke: it may be stored or not.
            BrokerUnavailable: it was never sent.
        """
        await self.publish_raw(message.body, message.properties(), exchange=exchange, routing_key=routing_key)

    async def publish_raw(self, body: bytes, properties: BasicProperties, *, exchange: str, routing_key: str) -> None:
        """Publish bytes that need not be a message of ours, with the guarantees of `publish`."""
        async with self._window:
            await self.wait_connected()
            await self._send(body, properties, exchange, routing_key)

    def _send(self, body: bytes, properties: BasicProperties, exchange: str, routing_key: str) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        if self._channel is None or self._connection is None:
            raise self._last_error
        if self._connection.blocked is not None:
            raise BrokerUnavailable(f"the broker blocks publishers: {self._connection.blocked}")
        try:
            self._channel.raw.basic_publish(exchange, routing_key, body, properties, mandatory=True)
        except exceptions.AMQPError as error:
            raise translate(error) from error
        self._tag += 1
        confirmed: asyncio.Future[None] = loop.create_future()
        self._outstanding[self._tag] = _Outstanding(
            confirmed, loop.time() + self._timeout_s, properties.message_id, exchange, routing_key
        )
        return confirmed

    async def _keep(self) -> None:
        await keep_connected(
            self._url,
            self._session,
            name=self._name,
            heartbeat_s=self._heartbeat_s,
            timeout_s=self._timeout_s,
            on_end=self._note_end,
        )

    def _note_end(self, reason: BrokerError) -> None:
        self._last_error = reason

    async def _session(self, connection: Connection) -> BrokerError:
        try:
            channel = await connection.channel()
            if self._prepare is not None:
                await self._prepare(channel)
            channel.raw.add_on_return_callback(partial(self._on_return, channel))
            await channel.confirm(partial(self._on_confirm, channel))
            self._connection, self._channel, self._tag = connection, channel, 0
            self._refusals.forget()
            self._silence = silence = asyncio.get_running_loop().create_future()
            self.statistics.connects += 1
            self._ready.set()
            ends: set[asyncio.Future[BrokerError]] = {channel.closed, silence}
            ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return ended.pop().result()
        finally:
            self._ready.clear()
            self._connection = self._channel = None
            self._fail_outstanding()

    def _fail_outstanding(self) -> None:
        for waiting in self._outstanding.values():
            self._settle(waiting, Unconfirmed("the connection was lost before the confirm came"))
        self._outstanding.clear()

    def _on_return(
        self,
        channel: Channel,
        _: Any,
        method: Basic.Return,
        properties: BasicProperties,
        body: bytes,  # noqa: ARG002
    ) -> None:
        if channel is not self._channel:
            return
        # The broker sends the return before the ack of the same message. Several without an id may wait for the same
        # queue: all count as returned then, since a duplicate does less harm than a loss.
        for waiting in self._outstanding.values():
            sent = (waiting.message_id, waiting.exchange, waiting.routing_key)
            if sent == (properties.message_id, method.exchange, method.routing_key):
                waiting.returned = method.reply_text or "NO_ROUTE"

    def _on_confirm(self, channel: Channel, frame: Any) -> None:
        # A connection that was given up may still be closing, and its numbers mean other messages.
        if channel is not self._channel:
            return
        method = frame.method
        nacked = isinstance(method, Basic.Nack)
        if method.multiple:
            tags = [tag for tag in self._outstanding if method.delivery_tag == 0 or tag <= method.delivery_tag]
        else:
            tags = [method.delivery_tag]
        for tag in tags:
            waiting = self._outstanding.pop(tag, None)
            if waiting is not None:
                self._settle(waiting, self._verdict(waiting, nacked=nacked))
                self._doubt(waiting, nacked=nacked)

    def _doubt(self, waiting: _Outstanding, *, nacked: bool) -> None:
        """A channel on which a route is refused for long is given up: perhaps the broker takes it on another."""
        route, now_s = (waiting.exchange, waiting.routing_key), asyncio.get_running_loop().time()
        if self._refusals.note(route, nacked=nacked, now_s=now_s) and self._channel is not None:
            log.warning("refused for long: trying on a new channel", exchange=route[0], routing_key=route[1])
            self._refusals.forget()
            if self._channel.raw.is_open:
                self._channel.raw.close()

    def _verdict(self, waiting: _Outstanding, *, nacked: bool) -> PublishError | None:
        if waiting.returned is not None:
            return Unroutable(f"returned by the broker: {waiting.returned}; is the queue declared and bound?")
        return Nacked("the broker refused the message (a full queue, or a failed replica)") if nacked else None

    def _settle(self, waiting: _Outstanding, error: PublishError | None) -> None:
        self.statistics.count(error)
        if waiting.confirmed.done():
            return
        if error is None:
            waiting.confirmed.set_result(None)
        else:
            waiting.confirmed.set_exception(error)

    async def _expire(self) -> None:
        """Fail what waits longer than the timeout; one sweep is cheaper than a timer for each message."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(1.0, self._timeout_s / 2))
            while self._outstanding:
                tag, waiting = next(iter(self._outstanding.items()))
                if waiting.deadline > loop.time():
                    break
                del self._outstanding[tag]
                self._settle(waiting, Unconfirmed(f"no confirm within {self._timeout_s:g} s"))
                self._give_up()

    def _give_up(self) -> None:
        """End the session, unless the broker blocks publishers: then nothing more is sent, and confirms come later."""
        blocked = self._connection is not None and self._connection.blocked is not None
        if self._silence is not None and not self._silence.done() and not blocked:
            self._ready.clear()  # what waits for a place in the window must not come on this connection any more
            self._silence.set_result(BrokerUnavailable(f"no confirm within {self._timeout_s:g} s"))
