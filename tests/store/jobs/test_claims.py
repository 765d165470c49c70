"""One worker at a time: claims exclude one another, leases run out, crashes are counted."""

from __future__ import annotations

import asyncio

from labs.store.database import Database
from labs.store.jobs import Claim, Jobs, JobStatus, NotClaimed
from tests.databases import claim, completion, count, create, failure, rows, steps, unclaimed
from tests.waiting import eventually


async def test_only_one_of_twenty_claims_wins(jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    outcomes = await asyncio.gather(*(jobs.claim(job_id, lease_s=600, worker=f"w{n}") for n in range(20)))
    assert sum(isinstance(outcome, Claim) for outcome in outcomes) == 1
    held = [outcome.held_for_s for outcome in outcomes if isinstance(outcome, NotClaimed)]
    assert all(seconds is not None and 570 < seconds <= 600 for seconds in held)
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
    assert await jobs.renew([mine], lease_s=600) == {job_id}
    standing = await unclaimed(jobs, job_id)
    assert standing.held_for_s is not None
    assert standing.held_for_s > 570


async def test_a_lease_of_another_is_not_renewed(jobs: Jobs) -> None:
    first, second = [(await create(jobs)).job.job_id for _ in range(2)]
    old, mine = await claim(jobs, first), await claim(jobs, second)
    await jobs.release(old, error="x")
    await claim(jobs, first, worker="w2")
    assert await jobs.renew([old, mine], lease_s=30) == {second}


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
    assert await jobs.renew([mine], lease_s=600) == set()
    # then the job is nobody's, so that it can be given up instead of staying in processing.
    assert await jobs.fail(job_id, code="ModelFailed", message="given up", event=failure(job_id))


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
