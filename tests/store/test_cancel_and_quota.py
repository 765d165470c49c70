"""Cancelling, making many at once, quotas and metadata: what tables of jobs can besides working one off."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from labs.errors import IdempotencyConflict, JobEnded, JobNotFound, LeaseLost, TooManyJobs
from labs.store.database import Database
from labs.store.jobs import Claim, Jobs, JobStatus, NewJob, NotClaimed, Quota
from labs.store.outbox import Outbox
from labs.systems.resumes.jobs import TABLE, Resumes, command, completed
from labs.systems.resumes.messages import ResumeWorkerJob
from tests.databases import TRACEPARENT, claim, completion, count, create, rows

HOUR = 3600.0


@pytest.fixture
def resumes(database: Database) -> Jobs:
    return Jobs(database, TABLE)


def new(*, user_id: int = 1, key: str | None = None, request_hash: str = "h") -> NewJob:
    """A resume that is asked for."""
    job_id = str(uuid.uuid4())
    body = ResumeWorkerJob(jobId=job_id, userId=str(uuid.UUID(int=user_id)), jobDescription="x", metadata={"a": 1})
    return NewJob(
        job_id=job_id,
        user_id=user_id,
        email=None,
        inputs={"job_description": "x", "metadata": {"a": 1}, "webhook_url": None},
        message=command(body, traceparent=TRACEPARENT),
        idempotency_key=key,
        request_hash=request_hash if key else None,
    )


async def test_a_cancelled_job_is_never_claimed_and_its_message_is_settled(database: Database, jobs: Jobs) -> None:
    created = await create(jobs)
    job_id = created.job.job_id
    cancelled = await jobs.cancel(job_id, user_id=1)
    assert cancelled.status is JobStatus.CANCELLED
    assert cancelled.completed_at == cancelled.updated_at
    standing = await jobs.claim(job_id, lease_s=30, worker="w1")
    assert isinstance(standing, NotClaimed)
    assert standing.status is JobStatus.CANCELLED
    # The reconciler has nothing to publish again: the message has had its effect.
    await rows(database, "UPDATE outbox SET published_at = now() - interval '1 day', publishes = 1")
    assert await Outbox(database).reconcile(after_s=1) == 0
    assert await count(database, "outbox", "settled_at IS NOT NULL") == 1
    assert [step.step for step in await jobs.history(job_id)] == ["pending", "cancelled"]


async def test_the_result_of_a_job_cancelled_while_it_ran_is_refused(database: Database, jobs: Jobs) -> None:
    created = await create(jobs)
    job_id = created.job.job_id
    running = await claim(jobs, job_id)
    await jobs.cancel(job_id, user_id=1)
    assert await jobs.renew([running], lease_s=30) == set()
    with pytest.raises(LeaseLost):
        await jobs.complete(running, result="late", event=completion(job_id))
    await jobs.release(running, error="late")
    job = await jobs.get(job_id, user_id=1)
    assert (job.status, job.result, job.error_message) == (JobStatus.CANCELLED, None, None)
    assert await count(database, "outbox") == 1


async def test_of_a_cancel_and_a_result_at_once_one_wins(jobs: Jobs) -> None:
    for _ in range(20):
        job_id = (await create(jobs)).job.job_id
        running = await claim(jobs, job_id)
        outcomes = await asyncio.gather(
            jobs.cancel(job_id, user_id=1),
            jobs.complete(running, result="done", event=completion(job_id)),
            return_exceptions=True,
        )
        lost = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert [type(error) for error in lost] in ([JobEnded], [LeaseLost])
        status = (await jobs.get(job_id, user_id=1)).status
        assert status is (JobStatus.COMPLETED if isinstance(lost[0], JobEnded) else JobStatus.CANCELLED)


async def test_cancelling_again_changes_nothing_and_another_users_job_is_not_there(jobs: Jobs) -> None:
    job_id = (await create(jobs)).job.job_id
    with pytest.raises(JobNotFound):
        await jobs.cancel(job_id, user_id=2)
    first = await jobs.cancel(job_id, user_id=1)
    assert await jobs.cancel(job_id, user_id=1) == first


async def test_many_are_made_together_or_none_is(database: Database, resumes: Jobs) -> None:
    batch = [new(key=f"k{number}") for number in range(3)]
    made = await resumes.create(*batch)
    assert [each.job.job_id for each in made] == [each.job_id for each in batch]
    assert [each.new for each in await resumes.create(*batch)] == [False] * 3
    # Given one whose key belongs to another request, the others aren't made either.
    with pytest.raises(IdempotencyConflict):
        await resumes.create(new(), new(key="k1", request_hash="other"), new())
    assert (await count(database, "resume_jobs"), await count(database, "outbox")) == (3, 3)


async def test_a_quota_holds_against_many_at_once(database: Database, resumes: Jobs) -> None:
    quota = Quota(5, HOUR)
    outcomes = await asyncio.gather(
        *(resumes.create(new(), quota=quota) for _ in range(12)),
        resumes.create(new(user_id=2), quota=quota),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, TooManyJobs)]
    assert len(refused) == 7
    assert all(HOUR - 60 < error.retry_after_s <= HOUR for error in refused)
    assert await count(database, "resume_jobs", "user_id = 1") == 5
    assert await count(database, "outbox") == 6


async def test_a_quota_forgets_what_is_older_and_counts_no_repetition(database: Database, resumes: Jobs) -> None:
    quota = Quota(2, HOUR)
    again = new(key="again")
    await resumes.create(again, new(), quota=quota)
    assert [each.new for each in await resumes.create(again, quota=quota)] == [False]
    with pytest.raises(TooManyJobs):
        await resumes.create(new(), quota=quota)
    await rows(
        database, "UPDATE resume_jobs SET created_at = created_at - interval '1 hour' WHERE job_id = %s", again.job_id
    )
    await resumes.create(new(), quota=quota)


async def test_a_result_adds_to_the_metadata_and_keeps_what_is_there(database: Database, resumes: Jobs) -> None:
    asked = new()
    await resumes.create(asked)
    running = await resumes.claim(asked.job_id, lease_s=30, worker="w1")
    assert isinstance(running, Claim)
    resume_id = str(uuid.uuid4())
    store = Resumes(database)
    await store.save(resume_id, job_id=asked.job_id, pdf=b"%PDF-")
    await store.save(str(uuid.uuid4()), job_id=asked.job_id, pdf=b"of a worker that died")
    assert await store.pdf(resume_id, user_id=1) is None  # a draft is nobody's
    event = completed(job_id=asked.job_id, user_id="u", resume_id=resume_id)
    await resumes.complete(running, result=resume_id, event=event, metadata={"enhanced": True})
    await store.discard_drafts(asked.job_id)
    job = await resumes.get(asked.job_id, user_id=1)
    assert (job.result, job.metadata) == (resume_id, {"a": 1, "enhanced": True})
    assert await store.pdf(resume_id, user_id=1) == b"%PDF-"
    assert await store.pdf(resume_id, user_id=2) is None
    assert await count(database, "resumes") == 1
