"""Looking at jobs: one's own alone, page by page, with their whole history."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from labs.errors import JobNotFound
from labs.store.database import Database
from labs.store.jobs import Jobs, JobStatus
from tests.databases import claim, completion, create, letter, rows


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


def test_a_status_knows_whether_it_is_the_last() -> None:
    assert {status for status in JobStatus if status.terminal} == {
        JobStatus.COMPLETED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
    }
