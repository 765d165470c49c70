"""What the HTTP routes take and give: models and examples for the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from labs.store.jobs import Job, JobStatus
from labs.systems.cover_letters.messages import Tone
from labs.systems.fields import text
from labs.systems.paging import Page

_EXAMPLE_JOB = "ACME Corp is looking for a Backend Engineer with Python, RabbitMQ and PostgreSQL."
_EXAMPLE_CV = "Ada Lovelace\n5 years of Python\nCut latency of an order pipeline by 40 % with RabbitMQ"
EXAMPLE_ID = "0b0e7f0e-3c55-4c4e-9a44-5f0d8a0f6f1e"
_EXAMPLE_LETTER = "Dear ACME Corp team, ... Yours sincerely, Ada Lovelace"
_EXAMPLE_SUMMARY: JsonDict = {
    "jobId": EXAMPLE_ID,
    "status": "completed",
    "createdAt": "2026-11-22T09:30:00.000000Z",
    "updatedAt": "2026-11-22T09:30:12.500000Z",
    "completedAt": "2026-11-22T09:30:12.500000Z",
}


#: By error code: the kind of the last error.
_FAILURES = {
    "ModelFailed": "the model failed at every attempt",
    "ModelRefused": "the model refused the request",
    "PermanentError": "its processing was given up",
}


class CoverLetterRequest(BaseModel):
    """What a letter is written from."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"jobDescription": _EXAMPLE_JOB, "cvText": _EXAMPLE_CV, "tone": "professional"}},
    )

    jobDescription: Annotated[str, text(20_000)]
    cvText: Annotated[str, text(50_000)]
    tone: Tone = Tone.PROFESSIONAL


class Accepted(BaseModel):
    """The answer to a request for a letter."""

    model_config = ConfigDict(json_schema_extra={"example": {"jobId": EXAMPLE_ID, "status": "pending"}})

    jobId: str
    status: JobStatus


class JobSummary(BaseModel):
    """A job in a list."""

    jobId: str
    status: JobStatus
    createdAt: datetime
    updatedAt: datetime
    completedAt: datetime | None = None


class JobView(JobSummary):
    """A job with its letter, or with the reason why there is none."""

    model_config = ConfigDict(
        json_schema_extra={"example": {**_EXAMPLE_SUMMARY, "attempts": 1, "coverLetter": _EXAMPLE_LETTER}}
    )

    attempts: int
    coverLetter: str | None = None
    errorMessage: str | None = None


class JobPage(Page):
    """Jobs, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"jobs": [_EXAMPLE_SUMMARY]}})

    jobs: list[JobSummary]


class Letter(BaseModel):
    """A letter written while the caller waited."""

    model_config = ConfigDict(json_schema_extra={"example": {"coverLetter": _EXAMPLE_LETTER}})

    coverLetter: str


def summary(job: Job) -> JobSummary:
    """A job for a list."""
    return JobSummary(
        jobId=job.job_id,
        status=job.status,
        createdAt=job.created_at,
        updatedAt=job.updated_at,
        completedAt=job.completed_at,
    )


def view(job: Job) -> JobView:
    """A job for its owner."""
    return JobView(
        **summary(job).model_dump(),
        attempts=job.attempts,
        coverLetter=job.result,
        errorMessage=_failure(job),
    )


def _failure(job: Job) -> str | None:
    """Why there is no letter, in words for its owner; what exactly failed is for operators: `labs dlq list`."""
    if job.status is not JobStatus.FAILED:
        return None
    return _FAILURES.get(job.error_code or "", "the letter could not be written")
