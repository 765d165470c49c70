"""The job state machine on a real PostgreSQL: one result per job, whoever dies and whoever is late."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime

import psycopg
import pytest

from labs.errors import IdempotencyConflict, JobNotFound, LeaseLost
from labs.settings import ROOT
from labs.store.database import Database
from labs.store.jobs import Claim, Jobs, JobStatus, NotClaimed
from tests.databases import claim, completion, count, create, failure, letter, rows
from tests.waiting import eventually


async def steps(jobs: Jobs, job_id: str) -> list[str]:
    return [step.step for step in await jobs.history(job_id)]


async def unclaimed(jobs: Jobs, job_id: str, **options: int) -> NotClaimed:
    standing = await jobs.claim(job_id, lease_s=30, worker="w2", **options)
    assert isinstance(standing, NotClaimed), standing
    return standing


async def test_a_new_job_is_pending_and_has_its_message(database: Database, jobs: Jobs) -> None:
    created = await create(jobs, letter(user_id=7))
    assert (created.new, created.job.status, created.job.user_id) == (True, JobStatus.PENDING, 7)
    messages = await rows(database, "SELECT * FROM outbox")
    assert [message["correlation_id"] for message in messages] == [created.job.job_id]
    stored = await rows(database, "SELECT message_id, email FROM cover_letter_jobs JOIN users ON users.id = user_id")
    assert (stored[0]["message_id"], stored[0]["email"]) == (messages[0]["message_id"], "ada@example.org")
    assert await steps(jobs, created.job.job_id) == ["pending"]


async def test_an_address_is_kept_when_a_later_request_names_none(database: Database, jobs: Jobs) -> None:
    await create(jobs, email="ada@example.org")
    await create(jobs, email=None)
    await create(jobs, email="ada@example.com")
    assert [row["email"] for row in await rows(database, "SELECT email FROM users")] == ["ada@example.com"]


async def test_a_refused_job_leaves_no_message_behind(database: Database, jobs: Jobs) -> None:
    body = letter()
    await create(jobs, body)
    # Given a second job with the same id, the whole statement is refused: row, message and history alike.
    with pytest.raises(psycopg.errors.UniqueViolation):
        await create(jobs, body)
    assert [await count(database, table) for table in ("cover_letter_jobs", "outbox", "job_history")] == [1, 1, 1]


_MAKE_JOBS_UNTIL_KILLED = """
import asyncio, sys
from tests.databases import create, jobs_of
from labs.store.database import Database
async def main():
    async with Database(sys.argv[1], name="killed") as database:
        jobs = jobs_of(database)
        async def many():
            while True:
                await create(jobs)
        await asyncio.gather(*(many() for _ in range(8)))
asyncio.run(main())
"""


async def test_a_process_killed_in_mid_transaction_leaves_a_row_if_and_only_if_a_message(
    database: Database, database_url: str
) -> None:
    # Given a process that makes jobs as fast as it can,
    process = subprocess.Popen([sys.executable, "-c", _MAKE_JOBS_UNTIL_KILLED, database_url], cwd=ROOT)
    try:

        async def some() -> bool:
            return await count(database, "cover_letter_jobs") > 50

        await eventually(some)
    finally:
        # when it is killed,
        process.kill()
        process.wait()

    async def its_sessions_are_gone() -> bool:
        return await count(database, "pg_stat_activity", "application_name = 'killed'") == 0

    await eventually(its_sessions_are_gone)
    # then every row has its message and its history, and no message is without a row.
    orphans = await rows(
        database,
        "SELECT j.job_id FROM cover_letter_jobs j FULL JOIN outbox o USING (message_id) "
        "FULL JOIN job_history h ON h.job_id = j.job_id "
        "WHERE j.job_id IS NULL OR o.id IS NULL OR h.id IS NULL",
    )
    assert orphans == []


async def test_only_one_of_twenty_claims_wins(jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    outcomes = await asyncio.gather(*(jobs.claim(job_id, lease_s=30, worker=f"w{n}") for n in range(20)))
    assert sum(isinstance(outcome, Claim) for outcome in outcomes) == 1
    held = [outcome.held_for_s for outcome in outcomes if isinstance(outcome, NotClaimed)]
    assert all(seconds is not None and 25 < seconds <= 30 for seconds in held)
    assert await steps(jobs, job_id) == ["pending", "processing"]


async def test_a_lease_that_runs_out_counts_a_crash_and_makes_a_suspect(jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    dead = await claim(jobs, job_id, lease_s=0.05)
    await eventually(lambda: _crashed(jobs, job_id))
    # It is counted once, and claimed only by who allows for it.
    assert await unclaimed(jobs, job_id) == NotClaimed(JobStatus.PROCESSING, held_for_s=None, crashes=1)
    second = await claim(jobs, job_id, worker="w2", allowed_crashes=1)
    assert (second.attempt, second.fence) == (2, dead.fence + 1)
    assert await steps(jobs, job_id) == ["pending", "processing", "lease expired", "processing"]
    expired = (await jobs.history(job_id))[2]
    assert (expired.attempt, expired.worker) == (1, "w1")


async def _crashed(jobs: Jobs, job_id: str) -> bool:
    return (await unclaimed(jobs, job_id)).crashes == 1


async def test_of_twenty_that_find_a_dead_worker_one_counts_it(jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    await claim(jobs, job_id, lease_s=0.0)
    outcomes = await asyncio.gather(*(unclaimed(jobs, job_id) for _ in range(20)))
    assert max(outcome.crashes for outcome in outcomes) == 1
    assert (await steps(jobs, job_id)).count("lease expired") == 1


async def test_a_renewed_lease_does_not_run_out(jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    mine = await claim(jobs, job_id, lease_s=0.05)
    assert await jobs.renew([mine], lease_s=30) == {job_id}
    standing = await unclaimed(jobs, job_id)
    assert standing.held_for_s is not None
    assert standing.held_for_s > 25


async def test_a_lease_of_another_is_not_renewed(jobs: Jobs) -> None:
    first, second = [(await create(jobs)).job.job_id for _ in range(2)]
    old, mine = await claim(jobs, first), await claim(jobs, second)
    await jobs.release(old, error="x")
    await claim(jobs, first, worker="w2")
    assert await jobs.renew([old, mine], lease_s=30) == {second}


async def test_the_result_of_an_older_fence_is_refused_and_nothing_of_it_is_written(
    database: Database, jobs: Jobs
) -> None:
    job_id = (await create(jobs)).job.job_id
    # Given a worker that lost its lease to another,
    slow = await claim(jobs, job_id, lease_s=0.0)
    await unclaimed(jobs, job_id)
    quick = await claim(jobs, job_id, worker="w2", allowed_crashes=1)
    before = (await steps(jobs, job_id), await count(database, "outbox"))
    # when it comes with its result,
    with pytest.raises(LeaseLost, match="another worker"):
        await jobs.complete(slow, result="late", event=completion(job_id))
    # then no step, no message and no effect of it are there,
    assert (await steps(jobs, job_id), await count(database, "outbox")) == before
    assert await count(database, "inbox") == 0
    # and the other one's result counts, also when the late one comes after it.
    await jobs.complete(quick, result="in time", event=completion(job_id))
    with pytest.raises(LeaseLost):
        await jobs.complete(slow, result="late", event=completion(job_id))
    job = await jobs.get(job_id, user_id=1)
    assert (job.status, job.result) == (JobStatus.COMPLETED, "in time")


async def test_completing_writes_result_event_effect_and_history_together(database: Database, jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    mine = await claim(jobs, job_id)
    await jobs.complete(mine, result="Dear ...", event=completion(job_id), detail={"model": "m"})
    job = await jobs.get(job_id, user_id=1)
    assert (job.status, job.result, job.attempts) == (JobStatus.COMPLETED, "Dear ...", 1)
    assert job.completed_at is not None
    assert [row["type"] for row in await rows(database, "SELECT type FROM outbox ORDER BY id")] == [
        "cover-letter.generate",
        "cover-letter.completed",
    ]
    effect = (await rows(database, "SELECT consumer, message_id::text, outcome FROM inbox"))[0]
    assert effect == {"consumer": "cover-letter.generate", "message_id": mine.message_id, "outcome": "done"}
    assert (await jobs.history(job_id))[-1].detail == {"model": "m"}


async def test_completing_again_after_a_lost_answer_is_harmless(database: Database, jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    mine = await claim(jobs, job_id)
    for _ in range(3):
        await jobs.complete(mine, result="Dear ...", event=completion(job_id))
    assert await steps(jobs, job_id) == ["pending", "processing", "completed"]
    assert await count(database, "outbox") == 2


async def test_a_released_job_can_be_claimed_at_once_and_is_no_suspect(jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    first = await claim(jobs, job_id)
    await jobs.release(first, error="the model is busy")
    second = await claim(jobs, job_id)
    assert second.attempt == 2
    released = (await jobs.history(job_id))[2]
    assert (released.step, released.detail) == ("attempt failed", {"error": "the model is busy"})
    # The first worker's claim gives nothing back any more.
    await jobs.release(first, error="late")
    assert (await unclaimed(jobs, job_id)).held_for_s is not None


async def test_a_renewal_under_way_does_not_take_back_a_released_job(jobs: Jobs) -> None:
    # Given a worker that has failed its last attempt and released the job,
    job_id = (await create(jobs)).job.job_id
    mine = await claim(jobs, job_id)
    await jobs.release(mine, error="the model is broken")
    # when the renewal that its lease keeper had sent a moment before arrives only now,
    assert await jobs.renew([mine], lease_s=30) == set()
    # then the job is nobody's, so that it can be given up instead of staying in processing.
    assert await jobs.fail(job_id, code="ModelFailed", message="given up", event=failure(job_id))


async def test_a_job_that_somebody_works_on_does_not_fail(database: Database, jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    await claim(jobs, job_id)
    assert not await jobs.fail(job_id, code="given_up", message="no", event=failure(job_id))
    assert await count(database, "outbox") == 1
    assert (await jobs.get(job_id, user_id=1)).status is JobStatus.PROCESSING


async def test_a_failed_job_tells_why_and_sends_its_event(database: Database, jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    assert await jobs.fail(job_id, code="model", message="the model refused", event=failure(job_id))
    job = await jobs.get(job_id, user_id=1)
    assert (job.status, job.error_code, job.error_message) == (JobStatus.FAILED, "model", "the model refused")
    assert await count(database, "outbox", "type = 'cover-letter.failed'") == 1
    assert [row["outcome"] for row in await rows(database, "SELECT outcome FROM inbox")] == ["dead"]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
async def test_a_terminal_state_does_not_change(database: Database, jobs: Jobs, end: str) -> None:
    job_id = (await create(jobs)).job.job_id
    mine = await claim(jobs, job_id)
    if end == "completed":
        await jobs.complete(mine, result="r", event=completion(job_id))
    elif end == "failed":
        await jobs.release(mine, error="x")
        await jobs.fail(job_id, code="c", message="m", event=failure(job_id))
    else:
        query = "UPDATE cover_letter_jobs SET status = 'cancelled', lease_until = NULL WHERE job_id = %s"
        await rows(database, query, job_id)
    before = await rows(database, "SELECT * FROM cover_letter_jobs")
    history, messages = await steps(jobs, job_id), await count(database, "outbox")
    # Nothing that any worker may still do changes it.
    assert (await unclaimed(jobs, job_id, allowed_crashes=99)).status.terminal
    assert await jobs.renew([mine], lease_s=30) == set()
    await jobs.release(mine, error="late")
    assert not await jobs.fail(job_id, code="c2", message="m2", event=failure(job_id))
    if end != "completed":
        with pytest.raises(LeaseLost):
            await jobs.complete(mine, result="late", event=completion(job_id))
    assert await rows(database, "SELECT * FROM cover_letter_jobs") == before
    assert (await steps(jobs, job_id), await count(database, "outbox")) == (history, messages)


async def test_a_redrive_reopens_a_failed_job_once(jobs: Jobs, database: Database) -> None:
    job_id = (await create(jobs)).job.job_id
    await claim(jobs, job_id, lease_s=0.0)
    await unclaimed(jobs, job_id)
    await jobs.fail(job_id, code="c", message="m", event=failure(job_id))
    assert (await unclaimed(jobs, job_id, redrives=0)).status is JobStatus.FAILED
    again = await claim(jobs, job_id, redrives=1)
    # Its crashes are forgotten, its attempts are not.
    assert again.attempt == 2
    assert (await rows(database, "SELECT crashes, redrives FROM cover_letter_jobs"))[0] == {"crashes": 0, "redrives": 1}
    await jobs.release(again, error="x")
    await jobs.fail(job_id, code="c", message="m", event=failure(job_id))
    # A late duplicate of the redriven message reopens nothing; a second redrive does.
    assert (await unclaimed(jobs, job_id, redrives=1)).status is JobStatus.FAILED
    third = await claim(jobs, job_id, redrives=2)
    await jobs.complete(third, result="r", event=completion(job_id))
    assert [row["outcome"] for row in await rows(database, "SELECT outcome FROM inbox")] == ["done"]


async def test_the_history_is_complete_in_order_and_only_grows(jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    seen: list[str] = []

    async def grown() -> None:
        nonlocal seen
        now = [repr(step) for step in await jobs.history(job_id)]
        assert now[: len(seen)] == seen
        assert len(now) > len(seen)
        seen = now

    await grown()
    first = await claim(jobs, job_id, detail={"queue": "q"})
    await grown()
    await jobs.release(first, error="e")
    await grown()
    second = await claim(jobs, job_id)
    await grown()
    await jobs.complete(second, result="r", event=completion(job_id))
    await grown()
    history = await jobs.history(job_id)
    assert [step.step for step in history] == ["pending", "processing", "attempt failed", "processing", "completed"]
    assert [step.attempt for step in history] == [None, 1, 1, 2, 2]
    assert [step.at for step in history] == sorted(step.at for step in history)


async def test_twenty_requests_with_one_key_make_one_job(database: Database, jobs: Jobs) -> None:
    created = await asyncio.gather(
        *(create(jobs, idempotency_key="k", request_hash="h", email=None) for _ in range(20))
    )
    assert sum(each.new for each in created) == 1
    assert len({each.job.job_id for each in created}) == 1
    assert [await count(database, table) for table in ("cover_letter_jobs", "outbox", "job_history")] == [1, 1, 1]


async def test_a_key_used_for_another_request_is_a_conflict(database: Database, jobs: Jobs) -> None:
    await create(jobs, idempotency_key="k", request_hash="h")
    with pytest.raises(IdempotencyConflict, match="use a new one"):
        await create(jobs, idempotency_key="k", request_hash="other")
    assert await count(database, "outbox") == 1


async def test_keys_belong_to_their_user(jobs: Jobs) -> None:
    one = await create(jobs, letter(user_id=1), idempotency_key="k", request_hash="h")
    two = await create(jobs, letter(user_id=2), idempotency_key="k", request_hash="other")
    assert one.new
    assert two.new
    assert one.job.job_id != two.job.job_id


async def test_requests_without_a_key_are_all_new(jobs: Jobs) -> None:
    assert all([(await create(jobs)).new for _ in range(3)])


async def test_another_users_job_is_not_found(jobs: Jobs) -> None:
    job_id = (await create(jobs, letter(user_id=1))).job.job_id
    assert (await jobs.get(job_id, user_id=1)).job_id == job_id
    for wrong in ((job_id, 2), ("no-such-job", 1)):
        with pytest.raises(JobNotFound):
            await jobs.get(wrong[0], user_id=wrong[1])
    with pytest.raises(JobNotFound):
        await jobs.claim("no-such-job", lease_s=1, worker="w")


async def test_pages_show_each_job_once_newest_first_though_times_are_equal(database: Database, jobs: Jobs) -> None:
    ids = {(await create(jobs)).job.job_id for _ in range(9)}
    await create(jobs, letter(user_id=2))
    # Given three groups of jobs made at the very same moment,
    for n, job_id in enumerate(sorted(ids)):
        moment = datetime(2026, 1, 1, second=n % 3, tzinfo=UTC)
        await rows(database, "UPDATE cover_letter_jobs SET created_at = %s WHERE job_id = %s", moment, job_id)
    # when they are paged through while new ones come,
    seen, before = [], None
    while page := await jobs.newest(user_id=1, limit=2, before=before):
        seen += page
        before = (page[-1].created_at, page[-1].job_id)
        await create(jobs)
    # then each is there once, newest first.
    old = [job for job in seen if job.job_id in ids]
    assert len(old) == 9
    assert {job.job_id for job in old} == ids
    assert [job.created_at for job in old] == sorted((job.created_at for job in old), reverse=True)


async def test_counts_name_every_status(jobs: Jobs) -> None:
    first, second, _ = [(await create(jobs)).job.job_id for _ in range(3)]
    await jobs.complete(await claim(jobs, first), result="r", event=completion(first))
    await claim(jobs, second)
    assert await jobs.counts() == {
        JobStatus.PENDING: 1,
        JobStatus.PROCESSING: 1,
        JobStatus.COMPLETED: 1,
        JobStatus.FAILED: 0,
        JobStatus.CANCELLED: 0,
    }


async def test_two_workers_on_many_jobs_complete_each_once(database: Database, jobs: Jobs) -> None:
    ids = [(await create(jobs)).job.job_id for _ in range(20)]

    async def work(worker: str) -> int:
        done = 0
        for job_id in ids:
            mine = await jobs.claim(job_id, lease_s=30, worker=worker)
            if isinstance(mine, Claim):
                await jobs.complete(mine, result=worker, event=completion(job_id))
                done += 1
        return done

    assert sum(await asyncio.gather(*(work(f"w{n}") for n in range(4)))) == 20
    assert await count(database, "outbox", "type = 'cover-letter.completed'") == 20


def test_a_status_knows_whether_it_is_the_last() -> None:
    assert {status for status in JobStatus if status.terminal} == {
        JobStatus.COMPLETED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
    }
