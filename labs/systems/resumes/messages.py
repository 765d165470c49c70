"""The messages of the resume system; field names are those of its design document."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from labs.messaging.message import Payload, Schema, Schemas


class ResumeWorkerJob(Payload):
    """Make a resume."""

    jobId: str = Field(min_length=1, max_length=255)
    userId: str
    jobDescription: str
    metadata: dict[str, Any]


class ResumeEnded(Payload):
    """A job has a resume, or will have none; also what a webhook gets."""

    jobId: str
    userId: str
    status: Literal["completed", "failed"]
    resumeId: str | None = None
    errorCode: str | None = None
    endedAt: datetime


GENERATE = Schema("resumes.generate", 1, ResumeWorkerJob)
COMPLETED = Schema("resumes.completed", 1, ResumeEnded)
FAILED = Schema("resumes.failed", 1, ResumeEnded)

COMMANDS = Schemas(GENERATE)
EVENTS = Schemas(COMPLETED, FAILED)
