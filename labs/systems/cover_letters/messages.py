"""The messages of the cover-letter system; field names are those of its design documents."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from labs.messaging.message import Payload, Schema, Schemas


class Tone(StrEnum):
    """How the letter sounds."""

    PROFESSIONAL = "professional"
    FRIENDLY = "friendly"
    CONCISE = "concise"


class GenerateCoverLetter(Payload):
    """Write a letter."""

    jobId: str = Field(min_length=1, max_length=255)
    userId: int
    jobDescription: str
    cvText: str
    tone: Tone = Tone.PROFESSIONAL
    createdAt: datetime
    #: Part of the documented message; attempts are counted in the envelope.
    retryCount: int | None = None


class CoverLetterCompleted(Payload):
    """A letter is ready."""

    jobId: str
    userId: int
    tone: Tone
    completedAt: datetime


class CoverLetterFailed(Payload):
    """A letter could not be written."""

    jobId: str
    userId: int
    tone: Tone
    errorCode: str
    failedAt: datetime


GENERATE = Schema("cover-letter.generate", 1, GenerateCoverLetter)
COMPLETED = Schema("cover-letter.completed", 1, CoverLetterCompleted)
FAILED = Schema("cover-letter.failed", 1, CoverLetterFailed)

COMMANDS = Schemas(GENERATE)
EVENTS = Schemas(COMPLETED, FAILED)
