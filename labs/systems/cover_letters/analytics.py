"""Counts letters by day and tone; each event counts once, since the count commits with its inbox row."""

from __future__ import annotations

from labs.messaging.delivery import Delivery
from labs.store.database import Db
from labs.systems.cover_letters.messages import CoverLetterCompleted, CoverLetterFailed

_COUNT = """
INSERT INTO analytics_daily (day, tone, completed, failed) VALUES (%s, %s, %s, %s)
ON CONFLICT (day, tone) DO UPDATE SET
    completed = analytics_daily.completed + EXCLUDED.completed, failed = analytics_daily.failed + EXCLUDED.failed
"""


async def count(db: Db, delivery: Delivery) -> None:
    """The effect of an event on `analytics_daily`."""
    event = delivery.body
    if isinstance(event, CoverLetterCompleted):
        await db.execute(_COUNT, [event.completedAt.date(), event.tone, 1, 0])
    elif isinstance(event, CoverLetterFailed):
        await db.execute(_COUNT, [event.failedAt.date(), event.tone, 0, 1])
