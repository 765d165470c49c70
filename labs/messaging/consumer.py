"""A consumer that acknowledges after the effect, retries with delays, gives up into a dead-letter queue, and recovers.

Guarantee: at-least-once delivery; order is not kept. On a crash the broker delivers again what was not
acknowledged. A retry or a dead letter is published and confirmed before the original is acknowledged: a
crash between the two makes a duplicate, never a loss. Handlers must therefore be idempotent.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from pika.spec import Basic, BasicProperties

from labs import failpoints
from labs.errors import BrokerError, MessageError
from labs.messaging.acks import Acks
from labs.messaging.connection import Channel, Connection, check_url
from labs.messaging.delivery import ConsumerConfig, ConsumerStatistics, Delivery, Handler, OnDeadLetter
from labs.messaging.message import decode, enveloped, now
from labs.messaging.publisher import Publisher
from labs.messaging.settlement import ChannelLost, Settlement, where
from labs.messaging.supervision import keep_connected
from labs.messaging.topology import declare

log = structlog.get_logger()

#: Seconds that a connected but silent broker may take to answer when we want to leave.
_ANSWER_TIMEOUT_S = 3.0


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
        self._name = name
        self._heartbeat_s = heartbeat_s
        self._timeout_s = timeout_s
        self._channel: Channel | None = None
        self._acks: Acks | None = None
        self._tag: str | None = None
        self._stopping = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self.statistics = ConsumerStatistics(config.queue)
        self._settlement = Settlement(
            config, handler, publisher=publisher, on_dead_letter=on_dead_letter, statistics=self.statistics
        )

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
        acks = Acks(channel, self.statistics.count)
        self._tag = await channel.consume(self._config.queue, lambda _, *rest: self._accept(channel, acks, *rest))
        self._channel, self._acks = channel, acks
        self.statistics.count("connects")
        log.info("Subscribed to queue", queue=self._config.queue, prefetch=self._config.prefetch)
        if self._stopping.is_set():  # told so while the broker was asked
            await channel.cancel(self._tag)
        return await channel.closed

    async def stop(self, *, grace_s: float) -> None:
        """Take no more messages, finish those in hand within `grace_s` seconds, give the rest back to the queue."""
        self._stopping.set()
        channel = self._channel
        if channel is not None and channel.is_open and self._tag is not None:
            with contextlib.suppress(BrokerError, TimeoutError):
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    await channel.cancel(self._tag)
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=5)
        if self._acks is not None:
            self._acks.flush()
        if channel is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    await channel.close()

    def _accept(
        self, channel: Channel, acks: Acks, method: Basic.Deliver, properties: BasicProperties, body: bytes
    ) -> None:
        self.statistics.count("delivered")
        if self._stopping.is_set():
            acks.requeue(method.delivery_tag)
            return
        task = asyncio.create_task(self._handle(channel, acks, method, properties, body))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(
        self, channel: Channel, acks: Acks, method: Basic.Deliver, properties: BasicProperties, body: bytes
    ) -> None:
        try:
            delivery = self._read(method, properties, body)
            if isinstance(delivery, MessageError):
                await self._settlement.bury_unread(channel, properties, body, str(delivery))
            else:
                await self._settlement.settle(channel, delivery)
            failpoints.reach("consumer.before_ack", self._config.queue)
            acks.ack(method.delivery_tag)
        except asyncio.CancelledError:
            acks.requeue(method.delivery_tag)
            raise
        except ChannelLost:
            self.statistics.count("orphaned")
        except Exception as error:
            # A reject raises the delivery count, so that even this ends in the dead-letter queue one day.
            log.error("a delivery could not be settled", queue=self._config.queue, **where(error))  # noqa: TRY400
            acks.reject(method.delivery_tag)

    def _read(self, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> Delivery | MessageError:
        if self._config.strangers:
            properties = enveloped(properties, kind=method.routing_key)
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
