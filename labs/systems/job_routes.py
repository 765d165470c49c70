"""What routes of every system of jobs do the same way: commit a request, and follow a job to its end."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from labs.errors import DatabaseUnavailable
from labs.store.hints import wait_for_hint
from labs.store.jobs import Job, Jobs, NewJob, Quota
from labs.store.outbox import OUTBOX_HINT, OutboxMessage
from labs.systems.system import ApiParts
from labs.systems.user import User

#: Seconds after which a stream of events looks by itself, and after which it shows that it lives.
_POLL_S = 2.0


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
    parts: ApiParts, jobs: Jobs, *asked: Asked, user: User, idempotency_key: str | None, quota: Quota | None = None
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


async def changes(parts: ApiParts, jobs: Jobs, job: Job) -> AsyncGenerator[Job]:
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
