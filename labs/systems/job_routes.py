"""What routes of every system of jobs do the same way: commit a request, show jobs, and follow one to its end."""

import contextlib
import hashlib
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, get_type_hints

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from labs.errors import DatabaseUnavailable
from labs.store.hints import wait_for_hint
from labs.store.jobs import Job, Making, NewJob, Quota, Reading
from labs.store.outbox import OUTBOX_HINT, OutboxMessage
from labs.systems.fields import location
from labs.systems.paging import Cursor, Limit, page, place_of_job
from labs.systems.problem import documented
from labs.systems.system import ApiParts
from labs.systems.user import User

#: Seconds after which a stream of events looks by itself, and after which it shows that it lives.
_POLL_S = 2.0

JobId = Annotated[str, Path(max_length=255, pattern="^[!-~]+$", examples=["0b0e7f0e-3c55-4c4e-9a44-5f0d8a0f6f1e"])]

#: FastAPI's `responses` of a route that answers 202 with the place to look at.
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Committed",
        "headers": location("the job's status"),
    }
}


@dataclass(frozen=True)
class Asked:
    """A job that is asked for.

    Args:
        inputs: what it is made from, by column.
        message: the command of a job with this id.
        request: as it came, by which its repetition is recognised.
    """

    inputs: Mapping[str, object]
    message: Callable[[str], OutboxMessage]
    request: BaseModel


async def requested(
    parts: ApiParts, jobs: Making, *asked: Asked, user: User, idempotency_key: str | None, quota: Quota | None = None
) -> list[Job]:
    """Commit new jobs with their messages, all or none, or find those that the same request with this key has made.

    Args:
        parts: of the API process.
        jobs: the table.
        asked: one or more.
        user: who asks.
        idempotency_key: makes repeating safe.
        quota: how many a user may have made in a while, these included.

    Raises:
        IdempotencyConflict: the key belongs to another request.
        TooManyJobs: beyond the quota.
        DatabaseUnavailable: not known to be committed; repeat with the same key.
    """
    whole = hashlib.sha256("\n".join(each.request.model_dump_json() for each in asked).encode()).hexdigest()
    new = [_new(number, each, user, idempotency_key, whole) for number, each in enumerate(asked)]
    created = await jobs.create(*new, quota=quota)
    if any(each.new for each in created):
        parts.ringer.ring(OUTBOX_HINT)
    return [each.job for each in created]


def _new(number: int, asked: Asked, user: User, key: str | None, request_hash: str) -> NewJob:
    job_id = str(uuid.uuid4())
    return NewJob(
        job_id=job_id,
        user_id=user.id,
        email=user.email,
        inputs=asked.inputs,
        message=asked.message(job_id),
        # No header can hold the separator, so that no other request's key is that of a job in a batch.
        idempotency_key=f"{key}\x1f{number}" if key and number else key,
        request_hash=request_hash if key else None,
    )


@dataclass(frozen=True)
class Shown:
    """How a system shows its jobs.

    Args:
        view: a job for its owner.
        summary: a job in a list.
        page: the model of a list, with `jobs` and `nextCursor`.
    """

    view: Callable[[Job], BaseModel]
    summary: Callable[[Job], BaseModel]
    page: Callable[..., BaseModel]


def add_reading(router: APIRouter, parts: ApiParts, jobs: Reading, shown: Shown, *, status: str) -> None:
    """Add the routes by which users see their own jobs.

    Args:
        router: gets `/jobs` and a job's status.
        parts: of the API process.
        jobs: the table.
        shown: the models.
        status: path of a job's status, with `{jobId}`.
    """
    reader = Annotated[User, Depends(parts.reader)]

    @router.get(
        status,
        summary="A job, with its result",
        response_model=_model(shown.view),
        response_model_exclude_none=True,
        responses=documented(401, 404, 422, 503),
    )
    async def one(jobId: JobId, user: reader) -> BaseModel:
        return shown.view(await jobs.get(jobId, user_id=user.id))

    @router.get(
        "/jobs",
        summary="Your jobs, newest first",
        response_model=shown.page,
        response_model_exclude_none=True,
        responses=documented(401, 422, 503),
    )
    async def newest(user: reader, limit: Limit = 20, cursor: Cursor = None) -> BaseModel:
        found, after = await page(partial(jobs.newest, user_id=user.id), place_of_job, limit=limit, cursor=cursor)
        return shown.page(jobs=[shown.summary(job) for job in found], nextCursor=after)


def _model(show: Callable[[Job], BaseModel]) -> Any:
    return get_type_hints(show)["return"]


async def changes(parts: ApiParts, jobs: Reading, job: Job) -> AsyncGenerator[Job]:
    """A job as it stands, and again at each change, until it has ended or the process does."""
    with parts.listener.subscribe(job.job_id) as hint:
        last = None
        while not parts.stopping.is_set():
            with contextlib.suppress(DatabaseUnavailable):  # the stream outlives it: the next look may succeed
                job = await jobs.get(job.job_id, user_id=job.user_id)
            if (job.status, job.attempts) != last:
                last = (job.status, job.attempts)
                yield job
            if job.status.terminal:
                return
            await wait_for_hint(hint, timeout_s=_POLL_S)
