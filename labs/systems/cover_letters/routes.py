"""The HTTP routes of the cover-letter system; a 202 means that the job and its message are committed."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from labs.llm.prompt import cover_letter_prompt
from labs.messaging.message import now
from labs.store.jobs import Job, Jobs
from labs.store.outbox import OutboxMessage
from labs.systems.cover_letters.jobs import TABLE, command
from labs.systems.cover_letters.messages import GenerateCoverLetter
from labs.systems.cover_letters.views import (
    Accepted,
    CoverLetterRequest,
    JobPage,
    Letter,
    summary,
    view,
)
from labs.systems.fields import IdempotencyKey
from labs.systems.job_routes import ACCEPTED, Asked, JobId, Shown, add_reading, changes, requested
from labs.systems.problem import documented
from labs.systems.system import ApiParts
from labs.systems.user import User
from labs.telemetry import new_traceparent

PREFIX = "/api/cover-letter"


def routes(parts: ApiParts) -> list[APIRouter]:
    """The system's routers."""
    router = APIRouter(prefix=PREFIX, tags=["cover letters"])
    jobs = Jobs(parts.database, TABLE)
    _add_requests(router, parts, jobs)
    _add_reading(router, parts, jobs)
    return [router]


def _add_requests(router: APIRouter, parts: ApiParts, table: Jobs) -> None:
    generating = asyncio.Semaphore(parts.settings.sync_concurrency)
    requester = Annotated[User, Depends(parts.requester)]

    @router.post(
        "", status_code=202, summary="Ask for a letter", responses=ACCEPTED | documented(401, 413, 415, 422, 429, 503)
    )
    async def generate(
        request: CoverLetterRequest,
        response: Response,
        user: requester,
        idempotency_key: IdempotencyKey = None,
    ) -> Accepted:
        """Answers at once: the job is committed, and will be done even if everything restarts now."""
        asked = Asked(
            {"job_description": request.jobDescription, "cv_text": request.cvText, "tone": request.tone.value},
            lambda job_id: _command(job_id, request, user),
            request,
        )
        [job] = await requested(parts, table, asked, user=user, idempotency_key=idempotency_key)
        response.headers["Location"] = f"{PREFIX}/status/{job.job_id}"
        return Accepted(jobId=job.job_id, status=job.status)

    @router.post(
        "/sync",
        summary="Wait for a letter (the old way, to compare)",
        responses=documented(401, 413, 415, 422, 429, 502, 503),
    )
    async def generate_sync(request: CoverLetterRequest, user: requester) -> Letter:  # noqa: ARG001
        """Holds the connection while the model writes; nothing is stored, and a failure is the caller's to repeat."""
        if generating.locked():
            raise HTTPException(503, "too many letters are being written: try later", headers={"Retry-After": "5"})
        async with generating:
            prompt = cover_letter_prompt(request.jobDescription, request.cvText, request.tone.value)
            completion = await parts.model.complete(prompt, request_id=f"sync-{uuid.uuid4()}")
        return Letter(coverLetter=completion.text)


def _add_reading(router: APIRouter, parts: ApiParts, table: Jobs) -> None:
    reader = Annotated[User, Depends(parts.reader)]
    add_reading(router, parts, table, Shown(view, summary, JobPage), status="/status/{jobId}")

    # The job is looked up before the stream starts, so that an unknown one is a 404 and not a stream.
    async def own_job(jobId: JobId, user: reader) -> Job:
        return await table.get(jobId, user_id=user.id)

    @router.get(
        "/status/{jobId}/events",
        summary="A job's changes as they happen",
        response_class=EventSourceResponse,
        responses=documented(401, 404, 422, 503),
    )
    async def events(job: Annotated[Job, Depends(own_job)]) -> AsyncIterator[ServerSentEvent]:
        """Server-sent events named `status`, each with the job; the last one is terminal and ends the stream.

        The first one is how the job stands now, so whoever was cut off only has to connect again.
        """
        async with contextlib.aclosing(changes(parts, table, job)) as seen:
            async for changed in seen:
                yield ServerSentEvent(event="status", data=view(changed).model_dump(mode="json", exclude_none=True))


def _command(job_id: str, request: CoverLetterRequest, user: User) -> OutboxMessage:
    body = GenerateCoverLetter(
        jobId=job_id,
        userId=user.id,
        jobDescription=request.jobDescription,
        cvText=request.cvText,
        tone=request.tone,
        createdAt=now(),
    )
    return command(body, traceparent=new_traceparent())
