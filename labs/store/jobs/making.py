"""Making jobs: each is committed with its message, within a quota, and once for each key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from labs.errors import IdempotencyConflict, TooManyJobs
from labs.store.database import Db
from labs.store.jobs.job import Job, job_of
from labs.store.jobs.part import Part, one
from labs.store.outbox import OutboxMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be committed with its message.

    Args:
        job_id: its id, if the key doesn't find an older one.
        user_id: whose it is.
        email: the user's, if known.
        inputs: what it is made from, by column.
        message: the command.
        idempotency_key: finds the job that the same request made before.
        request_hash: of the request, to tell whether it is the same.
    """

    job_id: str
    user_id: int
    email: str | None
    inputs: Mapping[str, object]
    message: OutboxMessage
    idempotency_key: str | None = None
    request_hash: str | None = None

    def parameters(self) -> dict[str, Any]:
        """Values of the statement that makes it."""
        inputs = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in self.inputs.items()}
        return {
            **inputs,
            **self.message.parameters(),
            "job_id": self.job_id,
            "user_id": self.user_id,
            "email": self.email,
            "key": self.idempotency_key,
            "hash": self.request_hash,
        }


@dataclass(frozen=True, slots=True)
class Quota:
    """How many jobs a user may make in a moving window of so many seconds."""

    jobs: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Created:
    """A job, and whether this request made it."""

    job: Job
    new: bool


class Making(Part):
    """Makes jobs."""

    async def create(self, *new: NewJob, quota: Quota | None = None) -> list[Created]:
        """Commit pending jobs of one user with their messages, all or none; with known keys, find what the keys made.

        Raises:
            IdempotencyConflict: a key belongs to a request with another hash.
            TooManyJobs: more than the quota; nothing was committed.
            DatabaseUnavailable: not known to be committed; repeat with the same keys.
        """
        if len(new) == 1 and quota is None:  # a statement is a transaction, and needs no more round trips
            async with self._database.connection() as db:
                return [await self._create(db, new[0])]
        async with self._database.transaction() as db:
            created = [await self._create(db, each) for each in new]
            # Making a job locks its user's row: what is counted here can't be outrun by the same user's other requests.
            if quota is not None and any(each.new for each in created):
                await self._check(db, quota, user_id=new[0].user_id)
        return created

    async def _create(self, db: Db, new: NewJob) -> Created:
        parameters = new.parameters()
        row = await one(db, self._sql.create, parameters)
        if row is not None:
            return Created(job_of(row), new=True)
        row = await one(db, self._sql.by_key, parameters)
        if row is None or row["request_hash"] != new.request_hash:
            raise IdempotencyConflict("this Idempotency-Key was used for another request: use a new one")
        return Created(job_of(row), new=False)

    async def _check(self, db: Db, quota: Quota, *, user_id: int) -> None:
        parameters = {"user_id": user_id, "limit": quota.jobs, "window_s": quota.window_s}
        row = await one(db, self._sql.too_many, parameters)
        if row is not None:
            raise TooManyJobs(f"more than {quota.jobs} jobs within {quota.window_s:g} s", retry_after_s=row["wait_s"])
