"""The state machine of a job: pending > processing > completed | failed | cancelled, each step one committed statement.

Terminal states don't change, but for a failed job that an operator sends back (a redrive). A claim gives a
lease and a fence; a result counts only with the newest fence, so of two workers on one job one result is kept.
Each step writes its history, its message (outbox) and its effect (inbox) in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from labs.errors import IdempotencyConflict, JobEnded, JobNotFound, LeaseLost, TooManyJobs
from labs.store.database import Database, Db, Row
from labs.store.outbox import OutboxMessage
from labs.store.statements import JobTable, Statements


class JobStatus(StrEnum):
    """Where a job is."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self not in {JobStatus.PENDING, JobStatus.PROCESSING}


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its owner may see it."""

    job_id: str
    user_id: int
    status: JobStatus
    attempts: int
    result: str | None
    metadata: Mapping[str, Any] | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a job's history."""

    step: str
    at: datetime
    attempt: int | None
    worker: str | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job until the lease runs out."""

    job_id: str
    message_id: str
    fence: int
    attempt: int


@dataclass(frozen=True, slots=True)
class NotClaimed:
    """Why a job can't be worked on now."""

    status: JobStatus
    #: Seconds another worker's lease still runs, if one does.
    held_for_s: float | None = None
    #: Workers that died on the job; a suspect is claimed only by who allows for it.
    crashes: int = 0


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


class Jobs:
    """The jobs of one table."""

    def __init__(self, database: Database, table: JobTable) -> None:
        self._database = database
        self._table = table
        self._sql = Statements(table)

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
        row = await _one(db, self._sql.create, parameters)
        if row is not None:
            return Created(_job(row), new=True)
        row = await _one(db, self._sql.by_key, parameters)
        if row is None or row["request_hash"] != new.request_hash:
            raise IdempotencyConflict("this Idempotency-Key was used for another request: use a new one")
        return Created(_job(row), new=False)

    async def _check(self, db: Db, quota: Quota, *, user_id: int) -> None:
        parameters = {"user_id": user_id, "limit": quota.jobs, "window_s": quota.window_s}
        row = await _one(db, self._sql.too_many, parameters)
        if row is not None:
            raise TooManyJobs(f"more than {quota.jobs} jobs within {quota.window_s:g} s", retry_after_s=row["wait_s"])

    async def claim(
        self,
        job_id: str,
        *,
        lease_s: float,
        worker: str,
        redrives: int = 0,
        allowed_crashes: int = 0,
        detail: Mapping[str, Any] | None = None,
    ) -> Claim | NotClaimed:
        """Take a job over, if nobody works on it.

        Args:
            job_id: which one.
            lease_s: seconds until others may take it over, unless renewed.
            worker: who claims, for the history.
            redrives: of the message; more than the job has seen reopen a failed one.
            allowed_crashes: claim it although so many workers died on it.
            detail: of the delivery, for the history.

        Raises:
            JobNotFound: there is no such job.
        """
        parameters = {
            "job_id": job_id,
            "lease_s": lease_s,
            "worker": worker,
            "redrives": redrives,
            "allowed": allowed_crashes,
            "detail": Jsonb(detail or {}),
            "queue": self._table.queue,
        }
        async with self._database.connection() as db:
            if redrives:
                await db.execute(self._sql.reopen, parameters)
            row = await _one(db, self._sql.claim, parameters)
            if row is not None:
                return Claim(job_id, str(row["message_id"]), row["fence"], row["attempts"])
            row = await _one(db, self._sql.count_crash, parameters) or await _one(db, self._sql.standing, parameters)
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        return NotClaimed(JobStatus(row["status"]), held_for_s=row["held_for_s"], crashes=row["crashes"])

    async def renew(self, claims: Sequence[Claim], *, lease_s: float) -> set[str]:
        """Extend the leases of the given claims; returns the ids of the jobs that are still ours."""
        parameters = {
            "ids": [claim.job_id for claim in claims],
            "fences": [claim.fence for claim in claims],
            "lease_s": lease_s,
        }
        async with self._database.connection() as db:
            cursor = await db.execute(self._sql.renew, parameters)
            return {str(row["job_id"]) for row in await cursor.fetchall()}

    async def release(self, claim: Claim, *, error: str) -> None:
        """Give the job back after a failed attempt, so that the next one needn't wait for the lease."""
        async with self._database.connection() as db:
            await db.execute(self._sql.release, {"job_id": claim.job_id, "fence": claim.fence, "error": error})

    async def complete(
        self,
        claim: Claim,
        *,
        result: str,
        event: OutboxMessage,
        detail: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Commit the result with its event. Repeating it after a lost answer is harmless.

        Args:
            claim: whose fence is the newest.
            result: for the table's column of that name.
            event: that tells of it.
            detail: for the history.
            metadata: to be added to the job's, if its table has some.

        Raises:
            LeaseLost: another worker has claimed or ended the job since; nothing was written.
        """
        parameters = {
            **event.parameters(),
            "job_id": claim.job_id,
            "fence": claim.fence,
            "result": result,
            "metadata": Jsonb(metadata or {}),
            "detail": Jsonb(detail or {}),
            "queue": self._table.queue,
        }
        async with self._database.connection() as db:
            if await _one(db, self._sql.complete, parameters) is None:
                row = await _one(db, self._sql.standing, parameters)
                if row is None or row["status"] != JobStatus.COMPLETED or row["fence"] != claim.fence:
                    raise LeaseLost(f"job {claim.job_id} was taken over by another worker")

    async def fail(self, job_id: str, *, code: str, message: str, event: OutboxMessage) -> bool:
        """End a job that nobody works on as failed, with its event; False if it had ended or is worked on."""
        parameters = {
            **event.parameters(),
            "job_id": job_id,
            "code": code,
            "error": message,
            "queue": self._table.queue,
        }
        async with self._database.connection() as db:
            return await _one(db, self._sql.fail, parameters) is not None

    async def cancel(self, job_id: str, *, user_id: int) -> Job:
        """End a user's own job as cancelled; cancelling it again changes nothing.

        A queued one will not run, and the result of a running one is refused.

        Raises:
            JobNotFound: no such job, or it is another user's.
            JobEnded: it had ended in another way.
        """
        parameters = {"job_id": job_id, "user_id": user_id, "queue": self._table.queue}
        async with self._database.connection() as db:
            row = await _one(db, self._sql.cancel, parameters) or await _one(db, self._sql.get, parameters)
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        if row["status"] != JobStatus.CANCELLED:
            raise JobEnded(f"job {job_id} has ended: it is {row['status']}")
        return _job(row)

    async def get(self, job_id: str, *, user_id: int) -> Job:
        """A user's own job.

        Raises:
            JobNotFound: no such job, or it is another user's.
        """
        async with self._database.connection() as db:
            row = await _one(db, self._sql.get, {"job_id": job_id, "user_id": user_id})
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        return _job(row)

    async def find(self, job_id: str) -> Job:
        """Anybody's job, for workers.

        Raises:
            JobNotFound: there is no such job.
        """
        async with self._database.connection() as db:
            row = await _one(db, self._sql.find, {"job_id": job_id})
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        return _job(row)

    async def newest(self, *, user_id: int, limit: int, before: tuple[datetime, str] | None = None) -> list[Job]:
        """A user's jobs, newest first, from `before` (the last one of the page before)."""
        created_at, job_id = before or (None, None)
        parameters = {"user_id": user_id, "limit": limit, "created_at": created_at, "job_id": job_id}
        async with self._database.connection() as db:
            cursor = await db.execute(self._sql.newest, parameters)
            return [_job(row) for row in await cursor.fetchall()]

    async def counts(self) -> dict[JobStatus, int]:
        """Jobs in each status."""
        async with self._database.connection() as db:
            cursor = await db.execute(self._sql.counts)
            found = {row["status"]: row["n"] for row in await cursor.fetchall()}
        return {status: found.get(status.value, 0) for status in JobStatus}

    async def history(self, job_id: str) -> list[Step]:
        """All steps of a job, in order."""
        query = "SELECT step, at, attempt, worker, detail FROM job_history WHERE job_id = %s ORDER BY id"
        async with self._database.connection() as db:
            cursor = await db.execute(query, [job_id])
            rows = await cursor.fetchall()
        return [Step(row["step"], row["at"], row["attempt"], row["worker"], row["detail"] or {}) for row in rows]


async def _one(db: Db, query: str, parameters: Mapping[str, Any]) -> Row | None:
    cursor = await db.execute(query, parameters)
    return await cursor.fetchone()


def _job(row: Row) -> Job:
    return Job(
        job_id=row["job_id"],
        user_id=row["user_id"],
        status=JobStatus(row["status"]),
        attempts=row["attempts"],
        result=row["result"],
        metadata=row["metadata"],
        error_code=row["error_code"],
        error_message=row["error_message"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        completed_at=row["completed_at"],
    )
