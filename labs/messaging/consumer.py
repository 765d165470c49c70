"""A consumer that acknowledges after the effect, retries with delays, gives up into a dead-letter queue, and recovers.

Guarantee: at-least-once delivery; order is not kept. On a crash the broker delivers again what was not
acknowledged. A retry or a dead letter is published and confirmed before the original is acknowledged: a
crash between the two makes a duplicate, never a loss. Handlers must therefore be idempotent.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from pika import exceptions
from pika.spec import Basic, BasicProperties
from pydantic import BaseModel

from labs import failpoints
from labs.errors import (
    BrokerError,
    Deferred,
    DependencyDown,
    MessageError,
    PermanentError,
    TransientError,
    Unroutable,
)
from labs.messaging.connection import Channel, Connection, check_url
from labs.messaging.dead_letters import dead_letter
from labs.messaging.message import Message, Schemas, decode, now
from labs.messaging.publisher import Publisher
from labs.messaging.retry import RetryPolicy
from labs.messaging.supervision import Backoff, keep_connected
from labs.messaging.topology import DEFAULT_EXCHANGE, Topology, declare

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a handler gets: a message, its parsed body, and how it came."""

    message: Message
    body: BaseModel
    queue: str
    exchange: str
    routing_key: str
    #: A hint only: a publisher's duplicate has it false.
    redelivered: bool
    received_at: datetime


Handler = Callable[[Delivery], Awaitable[None]]
#: Told after a message went to the dead-letter queue: the delivery and the reason.
OnDeadLetter = Callable[[Delivery, str], Awaitable[None]]


@dataclass
class ConsumerStatistics:
    """Counts since the start."""

    delivered: int = 0
    acknowledged: int = 0
    retried: int = 0
    deferred: int = 0
    dead_lettered: int = 0
    requeued: int = 0
    #: Handled, but the channel was gone before the ack: the broker will deliver it again.
    orphaned: int = 0
    connects: int = 0


@dataclass(frozen=True, slots=True)
class ConsumerConfig:
    """What a consumer needs to know, besides its handler.

    Args:
        queue: the work queue; its retry and dead-letter queues are named after it.
        topology: declared on every new channel, so a deleted queue comes back.
        schemas: the message types that the handler understands.
        policy: when to try again.
        prefetch: most messages in hand at once, and so most handlers running at once.
        max_bytes: a larger body is dead-lettered unread.
    """

    queue: str
    topology: Topology
    schemas: Schemas
    policy: RetryPolicy
    prefetch: int = 100
    max_bytes: int = 1024 * 1024


class Consumer:
    """Runs a handler for each message of a queue. `run` until cancelled, `stop` to end in good order."""

    def __init__(
        self,
        url: str,
        config: ConsumerConfig,
        handler: Handler,
        *,
        publisher: Publisher,
        name: str,
        on_dead_letter: OnDeadLetter | None = None,
        heartbeat_s: int = 30,
        timeout_s: float = 10.0,
    ) -> None:
        check_url(url)
        self._url = url
        self._config = config
        self._handler = handler
        self._publisher = publisher
        self._name = name
        self._on_dead_letter = on_dead_letter
        self._heartbeat_s = heartbeat_s
        self._timeout_s = timeout_s
        self._channel: Channel | None = None
        self._tag: str | None = None
        self._stopping = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self.statistics = ConsumerStatistics()

    @property
    def connected(self) -> bool:
        return self._channel is not None and self._channel.is_open

    @property
    def in_hand(self) -> int:
        """Messages being handled now."""
        return len(self._running)

    async def run(self) -> None:
        """Consume until cancelled; recovers from every kind of loss of its channel."""
        await keep_connected(
            self._url, self._session, name=self._name, heartbeat_s=self._heartbeat_s, timeout_s=self._timeout_s
        )

    async def _session(self, connection: Connection) -> BrokerError:
        channel = await connection.channel()
        await declare(channel, self._config.topology)
        await channel.set_prefetch(self._config.prefetch)
        if self._stopping.is_set():  # what it took now it could only give back, again and again
            return await channel.closed
        self._tag = await channel.consume(self._config.queue, lambda _, *rest: self._accept(channel, *rest))
        self._channel = channel
        self.statistics.connects += 1
        log.info("consuming", queue=self._config.queue, prefetch=self._config.prefetch)
        if self._stopping.is_set():  # told so while the broker was asked
            await channel.cancel(self._tag)
        return await channel.closed

    async def stop(self, *, grace_s: float) -> None:
        """Take no more messages, finish those in hand within `grace_s` seconds, give the rest back to the queue."""
        self._stopping.set()
        channel = self._channel
        if channel is not None and channel.is_open and self._tag is not None:
            with contextlib.suppress(BrokerError):
                await channel.cancel(self._tag)
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=5)
        if channel is not None:
            await channel.close()

    def _accept(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        self.statistics.delivered += 1
        if self._stopping.is_set():
            self._give_back(channel, method.delivery_tag)
            return
        task = asyncio.create_task(self._handle(channel, method, properties, body))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        try:
            delivery = self._read(method, properties, body)
            if isinstance(delivery, MessageError):
                await self._persist(channel, lambda: self._bury_raw(properties, body, str(delivery)))
            else:
                await self._attempt(channel, delivery)
            failpoints.reach("consumer.before_ack", self._config.queue)
            self._acknowledge(channel, method.delivery_tag)
        except asyncio.CancelledError:
            self._give_back(channel, method.delivery_tag)
            raise
        except _ChannelLost:
            self.statistics.orphaned += 1

    def _read(self, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> Delivery | MessageError:
        try:
            message = decode(properties, body, max_bytes=self._config.max_bytes)
            parsed = self._config.schemas.parse(message)
        except MessageError as error:
            return error
        return Delivery(
            message=message,
            body=parsed,
            queue=self._config.queue,
            exchange=method.exchange,
            routing_key=method.routing_key,
            redelivered=bool(method.redelivered),
            received_at=now(),
        )

    async def _attempt(self, channel: Channel, delivery: Delivery) -> None:
        """Run the handler until it is done, retried, deferred or dead-lettered."""
        backoff = Backoff(first_s=0.2, cap_s=3.0)
        while True:
            try:
                await self._handler(delivery)
            except DependencyDown as error:
                # Held, unacknowledged: with all of the prefetch held, the consumer is paused.
                log.warning("dependency down, holding the message", queue=delivery.queue, error=str(error))
                await backoff.wait()
                if not channel.is_open:
                    raise _ChannelLost from None
                continue
            except Deferred as error:
                await self._defer(channel, delivery, error)
            except PermanentError as error:
                await self._bury(channel, delivery, describe(error))
            except Exception as error:
                await self._retry(channel, delivery, error)
            return

    async def _defer(self, channel: Channel, delivery: Delivery, error: Deferred) -> None:
        delay_ms = self._config.policy.listed(error.delay_s * 1000)
        log.info("deferred", message_id=delivery.message.message_id, delay_ms=delay_ms, reason=str(error))
        await self._persist(channel, lambda: self._wait_in(delay_ms, delivery.message))
        self.statistics.deferred += 1

    async def _retry(self, channel: Channel, delivery: Delivery, error: Exception) -> None:
        message = delivery.message
        asked_s = error.retry_after_s if isinstance(error, TransientError) else None
        if not isinstance(error, TransientError):
            log.error("the handler failed unexpectedly", message_id=message.message_id, **where(error))
        delay_ms = self._config.policy.delay_ms(message.attempt, at_least_s=asked_s)
        if delay_ms is None:
            await self._bury(channel, delivery, describe(error))
            return
        log.info(
            "retrying", message_id=message.message_id, attempt=message.attempt, delay_ms=delay_ms, error=describe(error)
        )
        await self._persist(channel, lambda: self._wait_in(delay_ms, message.next_attempt(describe(error))))
        self.statistics.retried += 1
        failpoints.reach("consumer.retry_confirmed", self._config.queue)

    async def _wait_in(self, delay_ms: int, message: Message) -> None:
        queue = self._config.policy.queue(self._config.queue, delay_ms)
        await self._publisher.publish(message, exchange=DEFAULT_EXCHANGE, routing_key=queue)

    async def _bury(self, channel: Channel, delivery: Delivery, reason: str) -> None:
        message = delivery.message.failed(reason)
        log.warning(
            "dead-lettered", message_id=message.message_id, queue=delivery.queue, attempt=message.attempt, reason=reason
        )
        await self._persist(channel, lambda: self._bury_raw(message.properties(), message.body, reason))
        await self._tell(delivery, reason)

    async def _tell(self, delivery: Delivery, reason: str) -> None:
        """Tell that the message is in the dead-letter queue; waits for what telling needs."""
        backoff = Backoff(first_s=0.2, cap_s=3.0)
        while self._on_dead_letter is not None:
            try:
                await self._on_dead_letter(delivery, reason)
            except DependencyDown as error:
                log.warning("dependency down, holding the message", queue=delivery.queue, error=str(error))
                await backoff.wait()
                continue
            except Exception as error:
                # The letter is safe; holding its original would stop the queue for nothing.
                log.error(  # noqa: TRY400 - a traceback ends in the text
                    "a dead letter was not told of", message_id=delivery.message.message_id, **where(error)
                )
            return

    async def _bury_raw(self, properties: BasicProperties, body: bytes, reason: str) -> None:
        await dead_letter(self._publisher, properties, body, queue=self._config.queue, reason=reason)
        self.statistics.dead_lettered += 1

    async def _persist(self, channel: Channel, publish: Callable[[], Awaitable[None]]) -> None:
        """Publish until it is confirmed, or until the delivery is no longer ours."""
        backoff = Backoff(first_s=0.1, cap_s=3.0)
        while channel.is_open:
            try:
                await publish()
            except Unroutable:
                log.warning("a retry or dead-letter queue is missing, declaring it", queue=self._config.queue)
                with contextlib.suppress(BrokerError):
                    await declare(channel, self._config.topology)
            except BrokerError as error:
                log.warning("could not publish, holding the message", queue=self._config.queue, error=str(error))
            else:
                return
            await backoff.wait()
        raise _ChannelLost

    def _acknowledge(self, channel: Channel, tag: int) -> None:
        if not channel.is_open:
            raise _ChannelLost
        try:
            channel.raw.basic_ack(tag)
        except exceptions.AMQPError as error:
            raise _ChannelLost from error
        self.statistics.acknowledged += 1

    def _give_back(self, channel: Channel, tag: int) -> None:
        with contextlib.suppress(exceptions.AMQPError):
            if channel.is_open:
                channel.raw.basic_nack(tag, requeue=True)
                self.statistics.requeued += 1


class _ChannelLost(Exception):
    """The delivery's channel is gone: the broker will deliver the message again."""


def describe(error: Exception) -> str:
    """One line on an error, without user data: texts of unexpected errors may quote it, so only their type counts."""
    if isinstance(error, TransientError | PermanentError):
        return f"{type(error).__name__}: {error}"[:300]
    return f"unexpected {type(error).__name__}"


def where(error: Exception) -> dict[str, Any]:
    """For the log: what kind of error it was and the places it came through, without its text, which may quote data."""
    frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return {"error": type(error).__name__, "frames": frames[-8:]}
