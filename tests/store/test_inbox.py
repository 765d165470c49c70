"""The inbox: an effect happens once for each consumer and message, in the transaction of the effect."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from labs.store.database import Database
from labs.store.inbox import has_effect, record_effect, record_given_up
from tests.databases import count


async def recorded(database: Database, consumer: str, message_id: str) -> bool:
    async with database.transaction() as db:
        return await record_effect(db, consumer=consumer, message_id=message_id)


async def test_an_effect_counts_once_for_each_consumer_and_message(database: Database) -> None:
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    assert [await recorded(database, "email", one) for _ in range(3)] == [True, False, False]
    assert await recorded(database, "analytics", one)
    assert await recorded(database, "email", two)
    async with database.connection() as db:
        assert await has_effect(db, consumer="email", message_id=one)
        assert not await has_effect(db, consumer="analytics", message_id=two)


async def test_of_twenty_at_once_one_may_do_it(database: Database) -> None:
    message_id = str(uuid.uuid4())
    outcomes = await asyncio.gather(*(recorded(database, "email", message_id) for _ in range(20)))
    assert sum(outcomes) == 1


async def test_an_effect_that_is_rolled_back_has_not_happened(database: Database) -> None:
    message_id = str(uuid.uuid4())

    async def fail_after_recording() -> None:
        async with database.transaction() as db:
            assert await record_effect(db, consumer="email", message_id=message_id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_after_recording()
    assert await recorded(database, "email", message_id)


async def test_a_message_given_up_counts_once_more_when_it_is_sent_back(database: Database) -> None:
    message_id = str(uuid.uuid4())
    async with database.connection() as db:
        await record_given_up(db, consumer="email", message_id=message_id)
        assert not await has_effect(db, consumer="email", message_id=message_id)
    assert [await recorded(database, "email", message_id) for _ in range(3)] == [True, False, False]


async def test_giving_up_does_not_undo_an_effect(database: Database) -> None:
    message_id = str(uuid.uuid4())
    await recorded(database, "email", message_id)
    async with database.connection() as db:
        await record_given_up(db, consumer="email", message_id=message_id)
        assert await has_effect(db, consumer="email", message_id=message_id)
    assert await count(database, "inbox") == 1
