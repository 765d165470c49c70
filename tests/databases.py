"""A database of one's own with the lab's tables, and the jobs that tests put there."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from labs.messaging.message import now
from labs.store.database import Database
from labs.store.jobs import Claim, Created, Jobs, NewJob, NotClaimed
from labs.store.outbox import OutboxMessage
from labs.systems.cover_letters.jobs import TABLE, command, completed, failed
from labs.systems.cover_letters.messages import GenerateCoverLetter, Tone
from labs.systems.resumes import jobs as resumes
from labs.systems.resumes.messages import ResumeWorkerJob

TABLES = (
    "cover_letter_jobs",
    "resumes",
    "resume_jobs",
    "resume_enhancements",
    "users",
    "job_history",
    "outbox",
    "inbox",
    "analytics_daily",
    "requests",
    "registered_users",
    "document_comments",
    "document_versions",
    "documents",
    "notifications",
    "document_search",
    "document_activity",
    "peers_users",
    "peers_matching",
    "peers_participants",
)
TRACEPARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@asynccontextmanager
async def opened(url: str, *, pool: int = 10) -> AsyncIterator[Database]:
    """The database, its schema applied and its tables empty."""
    async with Database(url, name="test", pool=pool, timeout_s=30) as database:
        await database.apply_schema()
        async with database.transaction() as db:
            for table in TABLES:
                await db.execute(f"DELETE FROM {table}")
        yield database


async def rows(database: Database, query: str, *parameters: Any) -> list[dict[str, Any]]:
    """What a query finds."""
    async with database.connection() as db:
        cursor = await db.execute(query, parameters)
        return await cursor.fetchall() if cursor.description else []


async def count(database: Database, table: str, where: str = "true", *parameters: Any) -> int:
    found = await rows(database, f"SELECT count(*) AS n FROM {table} WHERE {where}", *parameters)
    return int(found[0]["n"])


def letter(job_id: str | None = None, *, user_id: int = 1, tone: Tone = Tone.PROFESSIONAL) -> GenerateCoverLetter:
    """A request for a letter."""
    return GenerateCoverLetter(
        jobId=job_id or str(uuid.uuid4()),
        userId=user_id,
        jobDescription="Backend Engineer",
        cvText="Ada Lovelace, 5 years of Python",
        tone=tone,
        createdAt=now(),
    )


async def create(
    jobs: Jobs, body: GenerateCoverLetter | None = None, *, email: str | None = "ada@example.org", **options: Any
) -> Created:
    """A job, made as the API makes it."""
    body = body or letter()
    new = NewJob(
        job_id=body.jobId,
        user_id=body.userId,
        email=email,
        inputs={"job_description": body.jobDescription, "cv_text": body.cvText, "tone": body.tone.value},
        message=command(body, traceparent=TRACEPARENT),
        **options,
    )
    return (await jobs.create(new))[0]


def resume(*, user_id: int = 1, key: str | None = None, request_hash: str = "h") -> NewJob:
    """A resume that is asked for."""
    job_id = str(uuid.uuid4())
    body = ResumeWorkerJob(jobId=job_id, userId=str(uuid.UUID(int=user_id)), jobDescription="x", metadata={"a": 1})
    return NewJob(
        job_id=job_id,
        user_id=user_id,
        email=None,
        inputs={"job_description": "x", "metadata": {"a": 1}, "webhook_url": None},
        message=resumes.command(body, traceparent=TRACEPARENT),
        idempotency_key=key,
        request_hash=request_hash if key else None,
    )


async def claim(jobs: Jobs, job_id: str, *, lease_s: float = 30, worker: str = "w1", **options: Any) -> Claim:
    """The claim of a job that can be claimed."""
    claimed = await jobs.claim(job_id, lease_s=lease_s, worker=worker, **options)
    assert isinstance(claimed, Claim), claimed
    return claimed


async def unclaimed(jobs: Jobs, job_id: str, **options: int) -> NotClaimed:
    """Why a job can't be claimed."""
    standing = await jobs.claim(job_id, lease_s=30, worker="w2", **options)
    assert isinstance(standing, NotClaimed), standing
    return standing


async def steps(jobs: Jobs, job_id: str) -> list[str]:
    """What has happened to a job."""
    return [step.step for step in await jobs.history(job_id)]


def completion(job_id: str) -> OutboxMessage:
    return completed(letter(job_id))


def failure(job_id: str, code: str = "given_up") -> OutboxMessage:
    return failed(letter(job_id), code)


def jobs_of(database: Database) -> Jobs:
    return Jobs(database, TABLE)
