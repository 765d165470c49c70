"""Jobs are made with their message or not at all, once for each key, and within a quota."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import psycopg
import pytest

from labs.errors import IdempotencyConflict, TooManyJobs
from labs.settings import ROOT
from labs.store.database import Database
from labs.store.jobs import Jobs, JobStatus, Quota
from tests.databases import count, create, letter, resume, rows, steps
from tests.waiting import eventually

HOUR = 3600.0


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
    async with Database(sys.argv[1], name="killed", timeout_s=30) as database:
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


async def test_many_are_made_together_or_none_is(database: Database, resumes: Jobs) -> None:
    batch = [resume(key=f"k{number}") for number in range(3)]
    made = await resumes.create(*batch)
    assert [each.job.job_id for each in made] == [each.job_id for each in batch]
    assert [each.new for each in await resumes.create(*batch)] == [False] * 3
    # Given one whose key belongs to another request, the others aren't made either.
    with pytest.raises(IdempotencyConflict):
        await resumes.create(resume(), resume(key="k1", request_hash="other"), resume())
    assert (await count(database, "resume_jobs"), await count(database, "outbox")) == (3, 3)


async def test_a_quota_holds_against_many_at_once(database: Database, resumes: Jobs) -> None:
    quota = Quota(5, HOUR)
    outcomes = await asyncio.gather(
        *(resumes.create(resume(), quota=quota) for _ in range(12)),
        resumes.create(resume(user_id=2), quota=quota),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, TooManyJobs)]
    assert len(refused) == 7
    assert all(HOUR - 60 < error.retry_after_s <= HOUR for error in refused)
    assert await count(database, "resume_jobs", "user_id = 1") == 5
    assert await count(database, "outbox") == 6


async def test_a_quota_forgets_what_is_older_and_counts_no_repetition(database: Database, resumes: Jobs) -> None:
    quota = Quota(2, HOUR)
    again = resume(key="again")
    await resumes.create(again, resume(), quota=quota)
    assert [each.new for each in await resumes.create(again, quota=quota)] == [False]
    with pytest.raises(TooManyJobs):
        await resumes.create(resume(), quota=quota)
    await rows(
        database, "UPDATE resume_jobs SET created_at = created_at - interval '1 hour' WHERE job_id = %s", again.job_id
    )
    await resumes.create(resume(), quota=quota)
