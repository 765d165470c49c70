"""The ends of jobs: a result counts only with the newest fence, and what has ended does not end again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from labs.errors import JobEnded, JobNotFound, LeaseLost
from labs.store.jobs.claims import Claim
from labs.store.jobs.job import Job, JobStatus, job_of
from labs.store.jobs.part import Part, one
from labs.store.outbox import OutboxMessage


class Ending(Part):
    """Ends jobs: completed, failed or cancelled."""

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
            if await one(db, self._sql.complete, parameters) is None:
                row = await one(db, self._sql.standing, parameters)
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
            return await one(db, self._sql.fail, parameters) is not None

    async def cancel(self, job_id: str, *, user_id: int) -> Job:
        """End a user's own job as cancelled; cancelling it again changes nothing.

        A queued one will not run, and the result of a running one is refused.

        Raises:
            JobNotFound: no such job, or it is another user's.
            JobEnded: it had ended in another way.
        """
        parameters = {"job_id": job_id, "user_id": user_id, "queue": self._table.queue}
        async with self._database.connection() as db:
            row = await one(db, self._sql.cancel, parameters) or await one(db, self._sql.get, parameters)
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        if row["status"] != JobStatus.CANCELLED:
            raise JobEnded(f"job {job_id} has ended: it is {row['status']}")
        return job_of(row)
