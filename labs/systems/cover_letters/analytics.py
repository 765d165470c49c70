"""Counts letters by day and tone; each event counts once, since its inbox row commits with the count."""

from __future__ import annotations

from labs.messaging.delivery import Delivery
from labs.store.database import Database
from labs.store.inbox import record_effect, record_given_up
from labs.systems.cover_letters.messages import CoverLetterCompleted, CoverLetterFailed
from labs.systems.cover_letters.topology import ANALYTICS_QUEUE

#: Adds to a day: day, tone, completed, failed.
COUNT = """
INSERT INTO analytics_daily (day, tone, completed, failed) VALUES (%s, %s, %s, %s)
ON CONFLICT (day, tone) DO UPDATE SET
    completed = analytics_daily.completed + EXCLUDED.completed, failed = analytics_daily.failed + EXCLUDED.failed
"""


class Analytics:
    """The handler of `analytics.process`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle(self, delivery: Delivery) -> None:
        """Count an event; a duplicate changes nothing."""
        event = delivery.body
        async with self._database.transaction() as db:
            if not await record_effect(db, consumer=ANALYTICS_QUEUE, message_id=delivery.message.message_id):
                return
            if isinstance(event, CoverLetterCompleted):
                await db.execute(COUNT, [event.completedAt.date(), event.tone, 1, 0])
            elif isinstance(event, CoverLetterFailed):
                await db.execute(COUNT, [event.failedAt.date(), event.tone, 0, 1])

    async def give_up(self, delivery: Delivery, reason: str) -> None:  # noqa: ARG002 - the reason is in the letter
        """Record that an event went to the dead-letter queue."""
        async with self._database.connection() as db:
            await record_given_up(db, consumer=ANALYTICS_QUEUE, message_id=delivery.message.message_id)
