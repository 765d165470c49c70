"""Claims: the right to work on a job, until a lease runs out; the newest one has the highest fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from labs.errors import JobNotFound
from labs.store.jobs.job import JobStatus
from labs.store.jobs.part import Part, one


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


class Claiming(Part):
    """Gives jobs to workers, and takes them back."""

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
            row = await one(db, self._sql.claim, parameters)
            if row is not None:
                return Claim(job_id, str(row["message_id"]), row["fence"], row["attempts"])
            row = await one(db, self._sql.count_crash, parameters) or await one(db, self._sql.standing, parameters)
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
