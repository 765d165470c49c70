"""What the HTTP routes take and give: models and examples for the OpenAPI document."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from labs.pdf.profile import with_profile
from labs.store.jobs import Job, JobStatus
from labs.systems.fields import example, text
from labs.systems.paging import Page
from labs.systems.resumes.codes import ErrorCode
from labs.systems.resumes.missing import warnings
from labs.systems.storable import Storable
from labs.systems.user import user_uuid

EXAMPLE_ID = "660f9501-f40c-42e5-b827-557766551111"
_RESUME_ID = "7704f061-2c51-4d63-86c9-388776622222"
_APPLICATION_ID = "550e8400-e29b-41d4-a716-446655440000"
_TIME = "2026-11-22T09:30:00.000000Z"
ENQUEUED = "Resume generation job enqueued"
EXAMPLE_ACCEPTED = {"jobId": EXAMPLE_ID, "status": "pending", "message": ENQUEUED}
EXAMPLE_VIEW = {
    "id": EXAMPLE_ID,
    "userId": "00000000-0000-0000-0000-000000000001",
    "status": "completed",
    "resumeId": _RESUME_ID,
    "metadata": {"language": "en", "enhanced": True},
    "createdAt": _TIME,
    "updatedAt": "2026-11-22T09:30:05.000000Z",
}
MOST_IN_A_BATCH = 50

_Description = Annotated[str, text(20_000)]


class GenerateRequest(BaseModel):
    """What a resume is made from.

    `metadata` is yours and comes back with the job; its `profile` is who applies.
    """

    model_config = example({"jobApplicationId": _APPLICATION_ID, "language": "en"})

    jobApplicationId: Annotated[
        uuid.UUID | None, Field(description="Its description is used, if it has one and none is given here.")
    ] = None
    jobDescription: _Description | None = None
    language: Annotated[
        str, Field(max_length=35, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="Such as `pt-BR`.")
    ] = "en"
    metadata: Annotated[Storable, AfterValidator(with_profile)] = {}
    webhookUrl: Annotated[
        str | None, Field(max_length=2000, description="Told when the job has ended; its host must be allowed.")
    ] = None

    @model_validator(mode="after")
    def _about_something(self) -> GenerateRequest:
        if self.jobApplicationId is None and self.jobDescription is None:
            raise ValueError("give a jobApplicationId, a jobDescription, or both")
        return self


class BatchRequest(BaseModel):
    """Several resumes, all accepted or none."""

    model_config = example({"requests": [{"jobApplicationId": _APPLICATION_ID, "language": "en"}]})

    requests: Annotated[list[GenerateRequest], Field(min_length=1, max_length=MOST_IN_A_BATCH)]


class Accepted(BaseModel):
    """The answer to a request for a resume."""

    model_config = example(EXAMPLE_ACCEPTED)

    jobId: str
    status: JobStatus
    message: str = ENQUEUED
    warnings: Annotated[
        list[str] | None, Field(description="What the resume will lack, and how to give it; absent if nothing.")
    ] = None


class BatchAccepted(BaseModel):
    """The answer to a request for several, in the order of the request."""

    model_config = example({"jobs": [EXAMPLE_ACCEPTED]})

    jobs: list[Accepted]


class JobSummary(BaseModel):
    """A job in a list."""

    id: str
    status: JobStatus
    createdAt: datetime


class JobPage(Page):
    """Jobs, newest first."""

    model_config = example({"jobs": [{"id": EXAMPLE_ID, "status": "completed", "createdAt": _TIME}]})

    jobs: list[JobSummary]


class JobView(JobSummary):
    """A job, with where its resume is, or the reason why there is none."""

    model_config = example(EXAMPLE_VIEW)

    userId: str
    resumeId: str | None = None
    metadata: Annotated[
        dict[str, Any],
        Field(
            description="Yours, and what is known of the job: `profileMissing` (keep one with "
            "`PUT /api/v1/resumes/profile`), `descriptionMissing`, `enhanced`, `enhancementError`, `enhancementCached`."
        ),
    ]
    errorCode: Annotated[
        str | None, Field(description=" ".join(f"`{code}`: {code.explained}." for code in ErrorCode))
    ] = None
    errorMessage: str | None = None
    updatedAt: datetime


class ApplicationRequest(BaseModel):
    """A job that you apply for."""

    model_config = example({"jobDescription": "ACME Corp is looking for a Backend Engineer with Python."})

    jobDescription: _Description


class CompleteRequest(BaseModel):
    """A worker's report of a resume."""

    model_config = example({"resumeId": _RESUME_ID, "fence": 1, "metadata": {"enhanced": True}})

    resumeId: uuid.UUID
    fence: Annotated[int, Field(ge=1, le=2**63 - 1, description="Of the worker's claim: an older one is refused.")]
    metadata: Storable = {}
    detail: Storable = {}


class FailRequest(BaseModel):
    """A worker's report that there will be none."""

    model_config = example({"errorCode": "pdf_failed", "errorMessage": "PermanentError: pdf_failed: FPDFException"})

    errorCode: ErrorCode
    errorMessage: Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]


def accepted(job: Job) -> Accepted:
    """A job for whoever has asked for it."""
    return Accepted(jobId=job.job_id, status=job.status, warnings=warnings(job.metadata or {}))


def summary(job: Job) -> JobSummary:
    """A job for a list."""
    return JobSummary(id=job.job_id, status=job.status, createdAt=job.created_at)


def view(job: Job) -> JobView:
    """A job for its owner."""
    code = job.error_code if job.status is JobStatus.FAILED else None
    return JobView(
        **summary(job).model_dump(),
        userId=user_uuid(job.user_id),
        resumeId=job.result,
        metadata=dict(job.metadata or {}),
        errorCode=code,
        errorMessage=ErrorCode(code).explained if code else None,
        updatedAt=job.updated_at,
    )
