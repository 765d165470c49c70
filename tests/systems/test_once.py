"""An effect happens once for each message and queue, or not yet."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from labs.messaging.delivery import Delivery
from labs.store.database import Database, Db
from labs.systems.once import Once
from tests.databases import count
from tests.systems.deliveries import event_delivery


class Counted:
    """Counts the effects of one queue's consumer."""

    def __init__(self, database: Database, *, queue: str = "events") -> None:
        self.effects = 0
        self.broken = False
        self.once = Once(database, queue=queue, effect=self._effect)

    async def _effect(self, db: Db, delivery: Delivery) -> None:
        if self.broken:
            raise ValueError("a bug")
        self.effects += 1


async def test_a_duplicate_changes_nothing_and_another_queue_has_its_own(database: Database) -> None:
    first, second = Counted(database), Counted(database, queue="others")
    one = event_delivery(queue="events")
    await asyncio.gather(*(each.once.handle(one) for each in (first, second) for _ in range(5)))
    await first.once.handle(event_delivery(queue="events"))
    assert (first.effects, second.effects) == (2, 1)


async def test_an_effect_that_fails_leaves_no_trace_and_may_be_had_later(database: Database) -> None:
    counted, one = Counted(database), event_delivery(queue="events")
    counted.broken = True
    with pytest.raises(ValueError, match="a bug"):
        await counted.once.handle(one)
    assert await count(database, "inbox") == 0
    # Given up, it is settled; sent back when the bug is mended, it has its effect after all, once.
    await counted.once.give_up(one, "unexpected ValueError")
    assert await count(database, "inbox", "outcome = 'dead'") == 1
    counted.broken = False
    for _ in range(2):
        await counted.once.handle(one)
    assert counted.effects == 1
    assert await count(database, "inbox", "outcome = 'done'") == 1


async def test_how_late_an_effect_is_can_be_seen_in_the_metrics(database: Database) -> None:
    counted = Counted(database, queue="measured")
    one = event_delivery(queue="measured")
    for _ in range(2):
        await counted.once.handle(one)
    assert REGISTRY.get_sample_value("lab_event_seconds_count", {"queue": "measured"}) == 1
