"""What routes of every system of jobs do the same way: commit a request, and follow a job to its end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping

from labs.errors import DatabaseUnavailable
from labs.store.hints import wait_for_hint
from labs.store.jobs import Job, Jobs
from labs.store.outbox import OUTBOX_HINT, OutboxMessage
from labs.systems.system import ApiParts
from labs.systems.user import User

#: Seconds after which a stream of events looks by itself, and after which it shows that it lives.
_POLL_S = 2.0


async def requested(
    parts: ApiParts,
    jobs: Jobs,
    *,
    user: User,
    inputs: Mapping[str, str],
    message: Callable[[str], OutboxMessage],
    idempotency_key: str | None,
) -> Job:
    """Commit a new job with its message, or find the one that the same request with this key has made.

    Args:
        parts: of the API process.
        jobs: the table.
        user: who asks.
        inputs: what the job is made from, by column.
        message: the command of a job with this id.
        idempotency_key: makes repeating safe.

    Raises:
        IdempotencyConflict: the key belongs to another request.
        DatabaseUnavailable: not known to be committed; repeat with the same key.
    """
    job_id = str(uuid.uuid4())
    created = await jobs.create(
        job_id,
        user_id=user.id,
        email=user.email,
        inputs=inputs,
        message=message(job_id),
        idempotency_key=idempotency_key,
        request_hash=hashlib.sha256(json.dumps(inputs).encode()).hexdigest() if idempotency_key else None,
    )
    if created.new:
        parts.ringer.ring(OUTBOX_HINT)
    return created.job


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
