"""One result per job, whoever dies and whoever is late; and an end that nothing changes."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from labs.errors import JobEnded, JobNotFound, LeaseLost
from labs.store.database import Database
from labs.store.jobs import Claim, Jobs, JobStatus, NotClaimed
from labs.store.outbox import Outbox
from labs.systems.resumes.jobs import Resumes, completed
from tests.databases import claim, completion, count, create, failure, resume, rows, steps, unclaimed


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


async def test_a_result_adds_to_the_metadata_and_keeps_what_is_there(database: Database, resumes: Jobs) -> None:
    asked = resume()
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
