"""The handler of events whose effect happens once: it commits with the row that says that it has happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from labs.messaging.delivery import Delivery
from labs.messaging.message import Schemas, now
from labs.store.database import Database, Db
from labs.store.inbox import record_effect, record_given_up
from labs.systems.system import Consuming, WorkerParts
from labs.telemetry import EVENT_SECONDS

log = structlog.get_logger()

Effect = Callable[[Db, Delivery], Awaitable[None]]


class Once:
    """An idempotent consumer. Two with the same event wait for one another at the inbox row.

    An effect within the database happens exactly once. One outside of it (an e-mail) is repeated if the process dies
    between that effect and our commit.

    Args:
        database: where effects are recorded.
        queue: under whose name.
        effect: of an event, in the transaction that records it; its errors undo both.
        at_once: most effects under way; each holds a connection.
    """

    def __init__(self, database: Database, *, queue: str, effect: Effect, at_once: int | None = None) -> None:
        self._database = database
        self._queue = queue
        self._effect = effect
        self._turn = asyncio.Semaphore(at_once or 1_000_000)

    async def handle(self, delivery: Delivery) -> None:
        """Have the effect of an event; a duplicate changes nothing."""
        message = delivery.message
        log.info(f"Processing {message.type} event", queue=self._queue, message_id=message.message_id)
        async with self._turn, self._database.transaction() as db:
            is_new = await record_effect(db, consumer=self._queue, message_id=message.message_id)
            if is_new:
                await self._effect(db, delivery)
        log.info("Event processed" if is_new else "Duplicate event", queue=self._queue, message_id=message.message_id)
        if is_new:
            EVENT_SECONDS.labels(self._queue).observe((now() - message.occurred_at).total_seconds())

    async def give_up(self, delivery: Delivery, reason: str) -> None:  # noqa: ARG002 - the reason is in the letter
        """Record that an event went to the dead-letter queue."""
        async with self._database.connection() as db:
            await record_given_up(db, consumer=self._queue, message_id=delivery.message.message_id)


def once(parts: WorkerParts, queue: str, schemas: Schemas, effect: Effect, *, at_once: int | None = None) -> Consuming:
    """Have the effect of each event of a queue once. Arguments as of `Once`."""
    consumer = Once(parts.database, queue=queue, effect=effect, at_once=at_once)
    return Consuming(
        queue=queue,
        schemas=schemas,
        handler=consumer.handle,
        give_up=consumer.give_up,
        prefetch=parts.events_prefetch,
    )
