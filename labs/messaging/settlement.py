"""What becomes of one delivery: handled, retried, deferred, held, or dead-lettered, and nothing in between.

A retry or a dead letter is published and confirmed before the original may be acknowledged: a crash between the
two makes a duplicate, never a loss.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
from pika.spec import BasicProperties

from labs import failpoints
from labs.errors import BrokerError, Deferred, DependencyDown, PermanentError, TransientError, Unconfirmed, Unroutable
from labs.messaging.connection import Channel
from labs.messaging.dead_letters import dead_letter
from labs.messaging.delivery import ConsumerConfig, ConsumerStatistics, Delivery, Handler, OnDeadLetter
from labs.messaging.message import Message
from labs.messaging.publisher import Publisher
from labs.messaging.supervision import Backoff
from labs.messaging.topology import DEFAULT_EXCHANGE, declare

log = structlog.get_logger()


class ChannelLost(Exception):
    """The delivery's channel is gone: the broker will deliver the message again."""


class Outage:
    """While a dependency is away one delivery asks for it now and then, and the others wait for that one."""

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        self._ended_at = 0.0

    @contextlib.asynccontextmanager
    async def turn(self, *, since: float) -> AsyncIterator[bool]:
        """Wait for one's turn to ask; False if the outage has ended since then, and asking is needless."""
        async with self._asking:
            yield self._ended_at < since

    def ended(self) -> None:
        """Say that the dependency is there."""
        self._ended_at = asyncio.get_running_loop().time()


class Settlement:
    """Runs a consumer's handler, and settles what it raises."""

    def __init__(
        self,
        config: ConsumerConfig,
        handler: Handler,
        *,
        publisher: Publisher,
        on_dead_letter: OnDeadLetter | None,
        statistics: ConsumerStatistics,
    ) -> None:
        self._config = config
        self._handler = handler
        self._publisher = publisher
        self._on_dead_letter = on_dead_letter
        self._statistics = statistics
        self._outage = Outage()

    async def settle(self, channel: Channel, delivery: Delivery) -> None:
        """Run the handler until it is done, retried, deferred or dead-lettered; then the delivery may be acked.

        Raises:
            ChannelLost: the delivery is no longer ours.
        """
        try:
            await self._handled(channel, delivery)
        except Deferred as error:
            await self._defer(channel, delivery, error)
        except PermanentError as error:
            await self._bury(channel, delivery, describe(error))
        except ChannelLost:
            raise
        except Exception as error:
            await self._retry(channel, delivery, error)

    async def _handled(self, channel: Channel, delivery: Delivery) -> None:
        """Run the handler; while what it needs is away, hold the message: no attempt is burned."""
        while channel.is_open:
            try:
                await self._handler(delivery)
            except DependencyDown as error:
                log.info("dependency down, holding the message", queue=delivery.queue, error=str(error))
            else:
                return
            failed_at = asyncio.get_running_loop().time()
            async with self._outage.turn(since=failed_at) as needed:
                if needed and await self._ask(channel, delivery):
                    return
        raise ChannelLost

    async def _ask(self, channel: Channel, delivery: Delivery) -> bool:
        """Try again and again, for all that are held; True when the handler is done with this delivery."""
        backoff = Backoff(first_s=0.2, cap_s=3.0)
        while True:
            await backoff.wait()
            if not channel.is_open:
                raise ChannelLost
            try:
                await self._handler(delivery)
            except DependencyDown as error:
                log.warning("dependency down, all its messages are held", queue=delivery.queue, error=str(error))
                continue
            except Exception:
                self._outage.ended()  # it failed in another way: what it needs is there
                raise
            self._outage.ended()
            return True

    async def _defer(self, channel: Channel, delivery: Delivery, error: Deferred) -> None:
        delay_ms = self._config.policy.listed(error.delay_s * 1000)
        log.info("deferred", message_id=delivery.message.message_id, delay_ms=delay_ms, reason=str(error))
        await self._persist(channel, lambda: self._wait_in(delay_ms, delivery.message))
        self._statistics.count("deferred")

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
        self._statistics.count("retried")
        failpoints.reach("consumer.retry_confirmed", self._config.queue)

    async def _wait_in(self, delay_ms: int, message: Message) -> None:
        queue = self._config.policy.queue(self._config.queue, delay_ms)
        await self._publisher.publish(message, exchange=DEFAULT_EXCHANGE, routing_key=queue)

    async def _bury(self, channel: Channel, delivery: Delivery, reason: str) -> None:
        message = delivery.message.failed(reason)
        log.warning(
            "dead-lettered", message_id=message.message_id, queue=delivery.queue, attempt=message.attempt, reason=reason
        )
        await self._persist(channel, lambda: self._write_letter(message.properties(), message.body, reason))
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

    async def bury_unread(self, channel: Channel, properties: BasicProperties, body: bytes, reason: str) -> None:
        """Dead-letter what can't be read."""
        log.warning("dead-lettered unread", queue=self._config.queue, reason=reason)
        await self._persist(channel, lambda: self._write_letter(properties, body, reason))

    async def _write_letter(self, properties: BasicProperties, body: bytes, reason: str) -> None:
        queue = self._config.queue
        route = self._config.topology.dead_letter_route(queue)
        await dead_letter(self._publisher, properties, body, queue=queue, reason=reason, route=route)
        self._statistics.count("dead_lettered")

    async def _persist(self, channel: Channel, publish: Callable[[], Awaitable[None]]) -> None:
        """Publish until it is confirmed, or until the delivery is no longer ours."""
        backoff = Backoff(first_s=0.1, cap_s=3.0)
        while channel.is_open:
            try:
                await publish()
            except (Unroutable, Unconfirmed):  # an exchange that is missing costs the publisher its channel
                log.warning("not taken, a queue or exchange may be missing: declaring them", queue=self._config.queue)
                with contextlib.suppress(BrokerError):
                    await declare(channel, self._config.topology)
            except BrokerError as error:
                log.warning("could not publish, holding the message", queue=self._config.queue, error=str(error))
            else:
                return
            await backoff.wait()
        raise ChannelLost


def describe(error: Exception) -> str:
    """One line on an error, without user data: texts of unexpected errors may quote it, so only their type counts."""
    if isinstance(error, TransientError | PermanentError):
        return f"{type(error).__name__}: {error}"[:300]
    return f"unexpected {type(error).__name__}"


def where(error: BaseException) -> dict[str, Any]:
    """For the log: what kind of error it was and the places it came through, without its text, which may quote data."""
    frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return {"error": type(error).__name__, "frames": frames[-8:]}
