"""Deliveries as a consumer hands them to a handler."""

from __future__ import annotations

from pydantic import BaseModel

from labs.messaging.delivery import Delivery
from labs.messaging.message import Message, now
from labs.systems.cover_letters.messages import COMPLETED, CoverLetterCompleted, CoverLetterFailed, Tone


def delivery(message: Message, body: BaseModel, *, queue: str = "cover-letter.generate") -> Delivery:
    return Delivery(
        message=message,
        body=body,
        queue=queue,
        exchange="cover-letter",
        routing_key=message.type,
        redelivered=False,
        received_at=now(),
    )


def ready(job_id: str = "j1", *, tone: Tone = Tone.PROFESSIONAL) -> CoverLetterCompleted:
    """The event of a letter that is ready."""
    return CoverLetterCompleted(jobId=job_id, userId=1, tone=tone, completedAt=now())


def given_up(job_id: str = "j1", *, tone: Tone = Tone.PROFESSIONAL) -> CoverLetterFailed:
    """The event of a letter that could not be written."""
    return CoverLetterFailed(jobId=job_id, userId=1, tone=tone, errorCode="given_up", failedAt=now())


def event_delivery(body: CoverLetterCompleted | None = None, *, queue: str) -> Delivery:
    event = body or ready()
    return delivery(COMPLETED.message(event, correlation_id=event.jobId), event, queue=queue)
