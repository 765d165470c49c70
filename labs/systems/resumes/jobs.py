"""The resumes' table of jobs, the outbox rows of their messages, and the table of the resumes themselves."""

from __future__ import annotations

from labs.messaging.message import now
from labs.store.database import Database
from labs.store.outbox import OutboxMessage
from labs.store.statements import JobTable
from labs.systems.outgoing import outgoing
from labs.systems.resumes import topology as names
from labs.systems.resumes.messages import COMPLETED, FAILED, GENERATE, ResumeEnded, ResumeWorkerJob

TABLE = JobTable(
    name="resume_jobs",
    queue=names.GENERATE_QUEUE,
    inputs=("job_description", "metadata", "webhook_url"),
    result="resume_id",
    metadata="metadata",
)


def command(body: ResumeWorkerJob, *, traceparent: str) -> OutboxMessage:
    """The message that asks for a resume."""
    message = GENERATE.message(body, correlation_id=body.jobId, traceparent=traceparent)
    return outgoing(message, exchange=names.EXCHANGE, routing_key=names.GENERATE_KEY, consumers=(names.GENERATE_QUEUE,))


def completed(*, job_id: str, user_id: str, resume_id: str) -> OutboxMessage:
    """The event that tells of a resume."""
    return _event(ResumeEnded(jobId=job_id, userId=user_id, status="completed", resumeId=resume_id, endedAt=now()))


def failed(*, job_id: str, user_id: str, code: str) -> OutboxMessage:
    """The event that tells that there will be none."""
    return _event(ResumeEnded(jobId=job_id, userId=user_id, status="failed", errorCode=code, endedAt=now()))


def _event(body: ResumeEnded) -> OutboxMessage:
    schema, key = (COMPLETED, names.COMPLETED_KEY) if body.status == "completed" else (FAILED, names.FAILED_KEY)
    message = schema.message(body, correlation_id=body.jobId)
    return outgoing(message, exchange=names.EXCHANGE, routing_key=key, consumers=(names.WEBHOOK_QUEUE,))


class Resumes:
    """The resumes. One is its owner's to see once its job is completed with it; until then it is a draft."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, resume_id: str, *, job_id: str, pdf: bytes) -> None:
        """Keep a draft; harmless to repeat."""
        query = "INSERT INTO resumes (id, job_id, pdf) VALUES (%s, %s, %s) ON CONFLICT (id) DO NOTHING"
        await self._database.execute(query, resume_id, job_id, pdf)

    async def holds(self, resume_id: str, *, job_id: str) -> bool:
        """Whether that resume was made for that job."""
        query = "SELECT 1 FROM resumes WHERE id = %s AND job_id = %s"
        return await self._database.row(query, resume_id, job_id) is not None

    async def discard_drafts(self, job_id: str) -> None:
        """Forget what workers have made for an ended job that is not its result."""
        query = (
            "DELETE FROM resumes r USING resume_jobs j WHERE r.job_id = %s AND j.job_id = r.job_id "
            "AND j.status NOT IN ('pending', 'processing') AND j.resume_id IS DISTINCT FROM r.id"
        )
        await self._database.execute(query, job_id)

    async def pdf(self, resume_id: str, *, user_id: int) -> bytes | None:
        """A user's own resume, or None."""
        query = (
            "SELECT r.pdf FROM resumes r JOIN resume_jobs j ON j.resume_id = r.id "
            "WHERE r.id = %s AND j.user_id = %s AND j.status = 'completed'"
        )
        row = await self._database.row(query, resume_id, user_id)
        return bytes(row["pdf"]) if row else None
