"""The HTTP routes of the cover-letter system; a 202 means that the job and its message are committed."""

import asyncio
import base64
import binascii
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from labs.llm.client import ModelClient
from labs.llm.prompt import cover_letter_prompt
from labs.messaging.message import now
from labs.store.hints import Listener, Ringer, wait_for_hint
from labs.store.jobs import Job, Jobs, JobStatus
from labs.store.outbox import OUTBOX_HINT
from labs.systems.cover_letters.jobs import command
from labs.systems.cover_letters.messages import GenerateCoverLetter, Tone
from labs.systems.user import User
from labs.telemetry import new_traceparent

PREFIX = "/api/cover-letter"

#: Seconds after which a stream of events looks by itself, and after which it shows that it lives.
_POLL_S = 2.0

_EXAMPLE_JOB = "ACME Corp is looking for a Backend Engineer with Python, RabbitMQ and PostgreSQL."
_EXAMPLE_CV = "Ada Lovelace\n5 years of Python\nCut latency of an order pipeline by 40 % with RabbitMQ"
_EXAMPLE_ID = "0b0e7f0e-3c55-4c4e-9a44-5f0d8a0f6f1e"

# A NUL can't be stored in PostgreSQL's text; the pattern refuses it with the field's name.
_Text = StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00]*$")


class CoverLetterRequest(BaseModel):
    """What a letter is written from."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"jobDescription": _EXAMPLE_JOB, "cvText": _EXAMPLE_CV, "tone": "professional"}},
    )

    jobDescription: Annotated[str, _Text, Field(max_length=20_000)]
    cvText: Annotated[str, _Text, Field(max_length=50_000)]
    tone: Tone = Tone.PROFESSIONAL


class Accepted(BaseModel):
    """The answer to a request for a letter."""

    model_config = ConfigDict(json_schema_extra={"example": {"jobId": _EXAMPLE_ID, "status": "pending"}})

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

    attempts: int
    coverLetter: str | None = None
    errorMessage: str | None = None


class JobPage(BaseModel):
    """Jobs, newest first; `nextCursor` asks for the page after this one."""

    jobs: list[JobSummary]
    nextCursor: str | None = None


class Letter(BaseModel):
    """A letter written while the caller waited."""

    coverLetter: str


@dataclass(frozen=True)
class CoverLetterApi:
    """What the routes need.

    Args:
        jobs: the table.
        model: for the synchronous way alone.
        ringer: tells relays of new messages.
        listener: of `JOBS_HINT`.
        reader: a dependency that gives the user of a request.
        requester: the same, counted against the user's limit.
        sync_concurrency: most synchronous generations at once.
    """

    jobs: Jobs
    model: ModelClient
    ringer: Ringer
    listener: Listener
    reader: Callable[..., Any]
    requester: Callable[..., Any]
    sync_concurrency: int


def routes(api: CoverLetterApi) -> APIRouter:
    """The system's router."""
    router = APIRouter(prefix=PREFIX, tags=["cover letters"])
    _add_requests(router, api)
    _add_reading(router, api)
    return router


def _add_requests(router: APIRouter, api: CoverLetterApi) -> None:
    generating = asyncio.Semaphore(api.sync_concurrency)
    requester = Annotated[User, Depends(api.requester)]

    @router.post("", status_code=202, summary="Ask for a letter", responses={202: {"description": "Committed"}})
    async def generate(
        request: CoverLetterRequest,
        response: Response,
        user: requester,
        idempotency_key: Annotated[
            str | None, Header(min_length=1, max_length=200, description="Repeat a request safely.")
        ] = None,
    ) -> Accepted:
        """Answers at once: the job is committed, and will be done even if everything restarts now."""
        job = await _create(api, request, user, idempotency_key)
        response.headers["Location"] = f"{PREFIX}/status/{job.job_id}"
        return Accepted(jobId=job.job_id, status=job.status)

    @router.post("/sync", summary="Wait for a letter (the old way, to compare)")
    async def generate_sync(request: CoverLetterRequest, user: requester) -> Letter:  # noqa: ARG001
        """Holds the connection while the model writes; nothing is stored, and a failure is the caller's to repeat."""
        if generating.locked():
            raise HTTPException(503, "too many letters are being written: try later", headers={"Retry-After": "5"})
        async with generating:
            prompt = cover_letter_prompt(request.jobDescription, request.cvText, request.tone.value)
            completion = await api.model.complete(prompt, request_id=f"sync-{uuid.uuid4()}")
        return Letter(coverLetter=completion.text)


def _add_reading(router: APIRouter, api: CoverLetterApi) -> None:
    reader = Annotated[User, Depends(api.reader)]
    job_id_path = Annotated[str, Path(max_length=255, examples=[_EXAMPLE_ID])]

    @router.get("/status/{jobId}", summary="A job and its letter", response_model_exclude_none=True)
    async def status(jobId: job_id_path, user: reader) -> JobView:
        return _view(await api.jobs.get(jobId, user_id=user.id))

    @router.get("/jobs", summary="Your jobs, newest first", response_model_exclude_none=True)
    async def jobs(
        user: reader,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=200, description="`nextCursor` of the page before.")] = None,
    ) -> JobPage:
        page = await api.jobs.newest(user_id=user.id, limit=limit + 1, before=_read_cursor(cursor))
        return JobPage(
            jobs=[_summary(job) for job in page[:limit]],
            nextCursor=_cursor(page[limit - 1]) if len(page) > limit else None,
        )

    # The job is looked up before the stream starts, so that an unknown one is a 404 and not a stream.
    async def own_job(jobId: job_id_path, user: reader) -> Job:
        return await api.jobs.get(jobId, user_id=user.id)

    @router.get("/status/{jobId}/events", summary="A job's changes as they happen", response_class=EventSourceResponse)
    async def events(job: Annotated[Job, Depends(own_job)]) -> AsyncIterator[ServerSentEvent]:
        """Server-sent events named `status`, each with the job; the last one is terminal and ends the stream."""
        with api.listener.subscribe(job.job_id) as hint:
            last = None
            while True:
                current = await api.jobs.get(job.job_id, user_id=job.user_id)
                if (current.status, current.attempts) != last:
                    last = (current.status, current.attempts)
                    yield ServerSentEvent(
                        event="status", data=_view(current).model_dump(mode="json", exclude_none=True)
                    )
                if current.status.terminal:
                    return
                await wait_for_hint(hint, timeout_s=_POLL_S)


async def _create(api: CoverLetterApi, request: CoverLetterRequest, user: User, key: str | None) -> Job:
    job_id = str(uuid.uuid4())
    body = GenerateCoverLetter(
        jobId=job_id,
        userId=user.id,
        jobDescription=request.jobDescription,
        cvText=request.cvText,
        tone=request.tone,
        createdAt=now(),
    )
    created = await api.jobs.create(
        job_id,
        user_id=user.id,
        email=user.email,
        inputs={"job_description": request.jobDescription, "cv_text": request.cvText, "tone": request.tone.value},
        message=command(body, traceparent=new_traceparent()),
        idempotency_key=key,
        request_hash=hashlib.sha256(request.model_dump_json().encode()).hexdigest() if key else None,
    )
    if created.new:
        api.ringer.ring(OUTBOX_HINT)
    return created.job


def _summary(job: Job) -> JobSummary:
    return JobSummary(
        jobId=job.job_id,
        status=job.status,
        createdAt=job.created_at,
        updatedAt=job.updated_at,
        completedAt=job.completed_at,
    )


def _view(job: Job) -> JobView:
    return JobView(
        **_summary(job).model_dump(),
        attempts=job.attempts,
        coverLetter=job.result,
        errorMessage=job.error_message,
    )


def _cursor(job: Job) -> str:
    return base64.urlsafe_b64encode(json.dumps([job.created_at.isoformat(), job.job_id]).encode()).decode()


def _read_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    try:
        created_at, job_id = json.loads(base64.urlsafe_b64decode(cursor))
        return datetime.fromisoformat(created_at), str(job_id)
    except (ValueError, TypeError, binascii.Error):
        problem = {"loc": ("query", "cursor"), "msg": "is not a cursor from `nextCursor`", "type": "value_error"}
        raise RequestValidationError([problem]) from None
