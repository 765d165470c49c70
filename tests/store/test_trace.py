"""The way of one job, told from what each step has left in the database."""

from __future__ import annotations

import pytest

from labs.errors import JobNotFound
from labs.messaging.message import now
from labs.store.database import Database
from labs.store.inbox import record_effect, record_given_up
from labs.store.jobs import Jobs
from labs.store.outbox import Outbox
from labs.store.trace import trace
from tests.databases import claim, completion, create


async def publish_all(database: Database) -> list[str]:
    outbox = Outbox(database)
    token, claimed = await outbox.claim(limit=10, lease_s=30)
    await outbox.mark_published(token, [row.id for row in claimed])
    return [row.message.message_id for row in claimed]


async def test_a_trace_tells_every_step_in_order(database: Database, jobs: Jobs) -> None:
    # Given a job that fails once and then completes,
    job_id = (await create(jobs)).job.job_id
    await publish_all(database)
    delivery = {"deliveredAt": now().isoformat(), "attempt": 1, "queue": "cover-letter.generate", "redelivered": False}
    first = await claim(jobs, job_id, detail=delivery)
    await jobs.release(first, error="the model is busy")
    again = {**delivery, "deliveredAt": now().isoformat(), "attempt": 2, "redelivered": True}
    second = await claim(jobs, job_id, detail=again, worker="w2")
    asked = {"model": "m", "askedAt": now().isoformat(), "modelSeconds": 0.0}
    await jobs.complete(second, result="Dear ...", event=completion(job_id), detail=asked)
    (event,) = await publish_all(database)
    async with database.connection() as db:
        await record_effect(db, consumer="notifications.email", message_id=event)
        await record_given_up(db, consumer="analytics.process", message_id=event)
    # then its trace is the whole way.
    told = [(step.what, step.where) for step in await trace(database, job_id)]
    assert told == [
        ("row and outbox message committed: pending", "database"),
        ("published and confirmed", "exchange cover-letter, key cover-letter.generate"),
        ("delivered, attempt 1", "queue cover-letter.generate"),
        ("claimed: processing (claim 1)", "w1"),
        ("attempt failed: the model is busy", "w1"),
        ("delivered, attempt 2, redelivered", "queue cover-letter.generate"),
        ("claimed: processing (claim 2)", "w2"),
        ("model asked", "model m"),
        ("model answered", "model m"),
        ("result and event committed: completed", "database"),
        ("published and confirmed", "exchange cover-letter, key cover-letter.completed"),
        ("event handled", "queue notifications.email"),
        ("event given up", "queue analytics.process"),
    ]


async def test_an_unknown_job_has_no_trace(database: Database) -> None:
    with pytest.raises(JobNotFound):
        await trace(database, "no-such-job")
