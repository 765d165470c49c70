"""The outbox on a real PostgreSQL: a committed message is claimed until it is published, and none is passed over."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from labs.store.database import Database
from labs.store.inbox import record_effect, record_given_up
from labs.store.jobs import Jobs
from labs.store.outbox import Outbox
from tests.databases import count, create, jobs_of, letter, opened, rows


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


async def age(database: Database, seconds: float, *, column: str = "published_at") -> None:
    """Make all rows look older than they are."""
    await rows(database, f"UPDATE outbox SET {column} = {column} - make_interval(secs => %s)", seconds)


async def publish_all(outbox: Outbox) -> list[str]:
    token, claimed = await outbox.claim(limit=100, lease_s=30)
    await outbox.mark_published(token, [row.id for row in claimed])
    return [row.message.message_id for row in claimed]


async def test_rows_are_claimed_oldest_first_with_all_they_need(outbox: Outbox, jobs: Jobs) -> None:
    bodies = [letter() for _ in range(5)]
    for body in bodies:
        await create(jobs, body)
    _, claimed = await outbox.claim(limit=3, lease_s=30)
    assert [row.message.correlation_id for row in claimed] == [body.jobId for body in bodies[:3]]
    message = claimed[0].message
    assert (message.exchange, message.routing_key) == ("cover-letter", "cover-letter.generate")
    assert (message.type, message.version, message.consumers) == (
        "cover-letter.generate",
        1,
        ("cover-letter.generate",),
    )
    assert bodies[0].cvText in message.body
    assert await outbox.unpublished() == 5


async def test_a_claim_takes_no_more_than_its_limit_whatever_the_plan(database_url: str) -> None:
    # Given a planner that would rather run a subquery once for each row, as it does with some statistics,
    off = ("hashagg", "sort", "material", "hashjoin", "mergejoin", "memoize")
    options = " ".join(f"-c enable_{step}=off" for step in off)
    async with opened(psycopg.conninfo.make_conninfo(database_url, options=options)) as database:
        for _ in range(10):
            await create(jobs_of(database))
        _, claimed = await Outbox(database).claim(limit=3, lease_s=30)
    assert len(claimed) == 3


async def test_claims_of_many_relays_never_overlap(outbox: Outbox, jobs: Jobs) -> None:
    await asyncio.gather(*(create(jobs) for _ in range(60)))
    claims = await asyncio.gather(*(outbox.claim(limit=10, lease_s=30) for _ in range(8)))
    ids = [row.id for _, claimed in claims for row in claimed]
    assert len(ids) == len(set(ids)) == 60


async def test_a_claim_runs_out_and_its_late_mark_counts_for_nothing(
    outbox: Outbox, jobs: Jobs, database: Database
) -> None:
    await create(jobs)
    # Given a relay that is stopped between confirm and mark until its claim has run out,
    dead_token, dead = await outbox.claim(limit=10, lease_s=30)
    assert (await outbox.claim(limit=10, lease_s=30))[1] == []
    await age(database, 31, column="claimed_until")
    token, claimed = await outbox.claim(limit=10, lease_s=30)
    assert [row.id for row in claimed] == [dead[0].id]
    # then another has the row, and the first can neither mark nor release it.
    await outbox.mark_published(dead_token, [dead[0].id])
    await outbox.release(dead_token, [dead[0].id], error="late", delay_s=0)
    assert await outbox.unpublished() == 1
    assert (await outbox.claim(limit=10, lease_s=30))[1] == []
    await outbox.mark_published(token, [dead[0].id])
    assert await outbox.unpublished() == 0
    assert (await rows(database, "SELECT publishes FROM outbox"))[0]["publishes"] == 1


async def test_a_row_committed_late_is_not_passed_over(
    outbox: Outbox, jobs: Jobs, database: Database, database_url: str
) -> None:
    # Given a transaction that has taken its id, and commits after rows with higher ones are published,
    columns = "message_id, exchange, routing_key, type, version, body, occurred_at, consumers"
    values = "gen_random_uuid(), 'x', 'k', 'late', 1, '{}', now(), '{}'"
    async with await psycopg.AsyncConnection.connect(database_url) as late:
        await late.execute(f"INSERT INTO outbox ({columns}) VALUES ({values})")
        for _ in range(3):
            await create(jobs)
        assert len(await publish_all(outbox)) == 3
        await late.commit()
    ids = {row["type"]: row["id"] for row in await rows(database, "SELECT id, type FROM outbox ORDER BY id DESC")}
    assert ids["late"] < ids["cover-letter.generate"]
    # then it is published all the same.
    assert len(await publish_all(outbox)) == 1
    assert await outbox.unpublished() == 0


async def test_released_rows_wait_and_are_claimed_again(outbox: Outbox, jobs: Jobs, database: Database) -> None:
    await create(jobs)
    token, claimed = await outbox.claim(limit=10, lease_s=30)
    await outbox.release(token, [claimed[0].id], error="nacked", delay_s=20)
    assert (await outbox.claim(limit=10, lease_s=30))[1] == []
    assert (await rows(database, "SELECT last_error FROM outbox"))[0]["last_error"] == "nacked"
    # Sooner than their claim would have run out.
    await age(database, 21, column="claimed_until")
    assert len((await outbox.claim(limit=10, lease_s=30))[1]) == 1


async def test_what_had_its_effect_is_settled(outbox: Outbox, jobs: Jobs, database: Database) -> None:
    for _ in range(2):
        await create(jobs)
    done, given_up = await publish_all(outbox)
    async with database.connection() as db:
        await record_effect(db, consumer="cover-letter.generate", message_id=done)
        await record_given_up(db, consumer="cover-letter.generate", message_id=given_up)
    await age(database, 100)
    assert await outbox.reconcile(after_s=60) == 0
    assert await count(database, "outbox", "settled_at IS NOT NULL") == 2


async def test_what_had_its_effect_is_not_published_again_though_it_is_not_settled_yet(
    outbox: Outbox, jobs: Jobs, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        await create(jobs)
    done, lost = await publish_all(outbox)
    async with database.connection() as db:
        await record_effect(db, consumer="cover-letter.generate", message_id=done)
    await age(database, 100)
    # Given more to be settled than is done at a time,
    monkeypatch.setattr("labs.store.outbox._SETTLE", "SELECT %(after_s)s")
    assert await outbox.reconcile(after_s=60) == 1
    # then what had none is published again, and nothing else.
    assert await publish_all(outbox) == [lost]


async def test_an_event_is_settled_only_when_each_of_its_consumers_had_it(
    outbox: Outbox, jobs: Jobs, database: Database
) -> None:
    await create(jobs)
    await rows(database, "UPDATE outbox SET consumers = '{email,analytics}'")
    (message_id,) = await publish_all(outbox)
    async with database.connection() as db:
        await record_effect(db, consumer="email", message_id=message_id)
    await age(database, 100)
    assert await outbox.reconcile(after_s=60) == 1
    assert await count(database, "outbox", "settled_at IS NOT NULL") == 0


async def test_what_had_no_effect_is_published_again_with_doubling_waits(
    outbox: Outbox, jobs: Jobs, database: Database
) -> None:
    await create(jobs)
    # Given a queue that is purged again and again after the confirm,
    for publishes in range(1, 5):
        assert len(await publish_all(outbox)) == 1
        wait_s = 60 * 2 ** (publishes - 1)
        # the message is left alone until its wait is over, and then armed once.
        await age(database, wait_s - 20)
        assert await outbox.reconcile(after_s=60) == 0
        await age(database, 40)
        assert await outbox.reconcile(after_s=60) == 1
        assert await outbox.reconcile(after_s=60) == 0
    assert (await rows(database, "SELECT publishes FROM outbox"))[0]["publishes"] == 4


async def test_what_is_not_yet_old_is_left_alone(outbox: Outbox, jobs: Jobs, database: Database) -> None:
    await create(jobs)
    await publish_all(outbox)
    assert await outbox.reconcile(after_s=60) == 0
    assert await outbox.unpublished() == 0


async def test_sweeping_deletes_only_what_was_settled_long_ago(outbox: Outbox, jobs: Jobs, database: Database) -> None:
    for _ in range(4):
        await create(jobs)
    ids = [row["id"] for row in await rows(database, "SELECT id FROM outbox ORDER BY id")]
    old, new, published, unpublished = ids
    mark = "UPDATE outbox SET published_at = now() - interval '9 days', settled_at = {} WHERE id = %s"
    await rows(database, mark.format("now() - interval '2 days'"), old)
    await rows(database, mark.format("now()"), new)
    await rows(database, mark.format("NULL"), published)
    async with database.connection() as db:
        for job in await rows(database, "SELECT message_id::text FROM outbox ORDER BY id LIMIT 2"):
            await record_effect(db, consumer="c", message_id=job["message_id"])
    query = (
        "UPDATE inbox SET at = at - interval '40 days' WHERE message_id = (SELECT message_id FROM outbox WHERE id = %s)"
    )
    await rows(database, query, old)
    await outbox.sweep(retention_s=24 * 3600, inbox_retention_s=30 * 24 * 3600)
    assert [row["id"] for row in await rows(database, "SELECT id FROM outbox ORDER BY id")] == [
        new,
        published,
        unpublished,
    ]
    assert await count(database, "inbox") == 1
