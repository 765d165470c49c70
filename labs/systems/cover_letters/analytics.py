"""Counts letters by day and tone; each event counts once, since its inbox row commits with the count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from labs.errors import PermanentError
from labs.messaging.delivery import Delivery
from labs.store.database import Database
from labs.store.gathering import Gathering
from labs.store.inbox import RECORD_ALL, record_given_up
from labs.systems.cover_letters.messages import CoverLetterCompleted, CoverLetterFailed
from labs.systems.cover_letters.topology import ANALYTICS_QUEUE

#: Records the effects of events and counts those that are new; `counting` gives its parameters.
COUNT = f"""
WITH fresh AS ({RECORD_ALL})
INSERT INTO analytics_daily (day, tone, completed, failed)
SELECT day, tone, sum(completed), sum(failed)
FROM unnest(%(message_ids)s::uuid[], %(days)s::date[], %(tones)s::text[], %(completed)s::int[], %(failed)s::int[])
    AS event (message_id, day, tone, completed, failed) JOIN fresh USING (message_id)
GROUP BY day, tone ORDER BY day, tone
ON CONFLICT (day, tone) DO UPDATE SET
    completed = analytics_daily.completed + EXCLUDED.completed, failed = analytics_daily.failed + EXCLUDED.failed
"""  # noqa: S608 - constants only

_Event = CoverLetterCompleted | CoverLetterFailed


class Analytics:
    """The handler of `analytics.process`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counting = Gathering(self._count)

    async def handle(self, delivery: Delivery) -> None:
        """Count an event; a duplicate changes nothing."""
        event = delivery.body
        if not isinstance(event, CoverLetterCompleted | CoverLetterFailed):
            raise PermanentError(f"nothing is counted for {delivery.message.type}")
        await self._counting.add((delivery.message.message_id, event))

    async def _count(self, events: Sequence[tuple[str, _Event]]) -> None:
        """Count events in one transaction: all of a day wait for the same row."""
        async with self._database.connection() as db:
            await db.execute(COUNT, counting(dict(events)))

    async def give_up(self, delivery: Delivery, reason: str) -> None:  # noqa: ARG002 - the reason is in the letter
        """Record that an event went to the dead-letter queue."""
        async with self._database.connection() as db:
            await record_given_up(db, consumer=ANALYTICS_QUEUE, message_id=delivery.message.message_id)


def counting(events: dict[str, _Event]) -> dict[str, Any]:
    """The parameters of `COUNT`, for events by their message_id."""
    completed = [isinstance(event, CoverLetterCompleted) for event in events.values()]
    return {
        "consumer": ANALYTICS_QUEUE,
        "message_ids": list(events),
        "days": [_moment(event).date() for event in events.values()],
        "tones": [event.tone.value for event in events.values()],
        "completed": [int(each) for each in completed],
        "failed": [int(not each) for each in completed],
    }


def _moment(event: _Event) -> datetime:
    return event.completedAt if isinstance(event, CoverLetterCompleted) else event.failedAt
