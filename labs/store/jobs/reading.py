"""Looking at jobs: nothing here changes any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from labs.errors import JobNotFound
from labs.store.jobs.job import Job, JobStatus, job_of
from labs.store.jobs.part import Part, one


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a job's history."""

    step: str
    at: datetime
    attempt: int | None
    worker: str | None
    detail: Mapping[str, Any]


class Reading(Part):
    """Finds jobs."""

    async def get(self, job_id: str, *, user_id: int) -> Job:
        """A user's own job.

        Raises:
            JobNotFound: no such job, or it is another user's.
        """
        async with self._database.connection() as db:
            row = await one(db, self._sql.get, {"job_id": job_id, "user_id": user_id})
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        return job_of(row)

    async def find(self, job_id: str) -> Job:
        """Anybody's job, for workers.

        Raises:
            JobNotFound: there is no such job.
        """
        async with self._database.connection() as db:
            row = await one(db, self._sql.find, {"job_id": job_id})
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        return job_of(row)

    async def newest(self, *, user_id: int, limit: int, before: tuple[datetime, str] | None = None) -> list[Job]:
        """A user's jobs, newest first, from `before` (the last one of the page before)."""
        created_at, job_id = before or (None, None)
        parameters = {"user_id": user_id, "limit": limit, "created_at": created_at, "job_id": job_id}
        async with self._database.connection() as db:
            cursor = await db.execute(self._sql.newest, parameters)
            return [job_of(row) for row in await cursor.fetchall()]

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
