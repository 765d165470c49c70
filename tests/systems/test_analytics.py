"""Analytics: each event counts once, however often and by however many it is delivered."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from labs.store.database import Database
from labs.systems.cover_letters.analytics import count
from labs.systems.cover_letters.messages import FAILED, CoverLetterCompleted, Tone
from labs.systems.cover_letters.topology import ANALYTICS_QUEUE
from labs.systems.once import Once
from tests.databases import rows
from tests.systems.deliveries import delivery, event_delivery, given_up, ready


def analytics_of(database: Database) -> Once:
    """The consumer of `analytics.process`."""
    return Once(database, queue=ANALYTICS_QUEUE, effect=count)


async def counts(database: Database) -> dict[str, tuple[int, int]]:
    found = await rows(database, "SELECT tone, completed, failed FROM analytics_daily")
    return {row["tone"]: (row["completed"], row["failed"]) for row in found}


async def test_events_are_counted_by_tone_and_outcome(database: Database) -> None:
    analytics = analytics_of(database)
    for tone in (Tone.FRIENDLY, Tone.FRIENDLY, Tone.CONCISE):
        await analytics.handle(event_delivery(ready(tone=tone), queue=ANALYTICS_QUEUE))
    failed = given_up(tone=Tone.CONCISE)
    await analytics.handle(delivery(FAILED.message(failed), failed, queue=ANALYTICS_QUEUE))
    assert await counts(database) == {"friendly": (2, 0), "concise": (1, 1)}


async def test_a_day_is_that_of_the_event_not_of_the_counting(database: Database) -> None:
    event = CoverLetterCompleted(
        jobId="j", userId=1, tone=Tone.CONCISE, completedAt=datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
    )
    await analytics_of(database).handle(event_delivery(event, queue=ANALYTICS_QUEUE))
    found = await rows(database, "SELECT day::text FROM analytics_daily")
    assert found == [{"day": "2026-01-31"}]


async def test_duplicates_and_concurrency_do_not_change_the_count(database: Database) -> None:
    first, second = analytics_of(database), analytics_of(database)
    deliveries = [event_delivery(queue=ANALYTICS_QUEUE) for _ in range(20)]
    # Given each event delivered three times to each of two consumers, all at once,
    await asyncio.gather(*(each.handle(one) for one in deliveries for each in (first, second) for _ in range(3)))
    assert await counts(database) == {"professional": (20, 0)}


async def test_an_event_given_up_counts_when_it_is_sent_back(database: Database) -> None:
    analytics, one = analytics_of(database), event_delivery(queue=ANALYTICS_QUEUE)
    await analytics.give_up(one, "unexpected ValueError")
    assert await counts(database) == {}
    for _ in range(2):
        await analytics.handle(one)
    assert await counts(database) == {"professional": (1, 0)}
