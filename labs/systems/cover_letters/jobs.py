"""The cover letters' table of jobs, and the outbox rows of their messages."""

from __future__ import annotations

from labs.messaging.message import Message, now
from labs.store.outbox import OutboxMessage
from labs.store.statements import JobTable
from labs.systems.cover_letters import topology as names
from labs.systems.cover_letters.messages import (
    COMPLETED,
    FAILED,
    GENERATE,
    CoverLetterCompleted,
    CoverLetterFailed,
    GenerateCoverLetter,
)
from labs.systems.outgoing import outgoing

TABLE = JobTable(
    name="cover_letter_jobs",
    queue=names.GENERATE_QUEUE,
    inputs=("job_description", "cv_text", "tone"),
    result="cover_letter",
)


def command(body: GenerateCoverLetter, *, traceparent: str) -> OutboxMessage:
    """The message that asks for a letter."""
    message = GENERATE.message(body, correlation_id=body.jobId, traceparent=traceparent)
    return outgoing(message, exchange=names.EXCHANGE, routing_key=names.GENERATE_KEY, consumers=(names.GENERATE_QUEUE,))


def completed(body: GenerateCoverLetter) -> OutboxMessage:
    """The event that tells of a letter."""
    event = CoverLetterCompleted(jobId=body.jobId, userId=body.userId, tone=body.tone, completedAt=now())
    return _event(COMPLETED.message(event, correlation_id=body.jobId), names.COMPLETED_KEY)


def failed(body: GenerateCoverLetter, code: str) -> OutboxMessage:
    """The event that tells that there will be none."""
    event = CoverLetterFailed(jobId=body.jobId, userId=body.userId, tone=body.tone, errorCode=code, failedAt=now())
    return _event(FAILED.message(event, correlation_id=body.jobId), names.FAILED_KEY)


def _event(message: Message, key: str) -> OutboxMessage:
    return outgoing(message, exchange=names.EXCHANGE, routing_key=key, consumers=names.EVENT_QUEUES)
