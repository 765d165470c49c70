"""The consumer of a queue of jobs: a `JobWorker` with the leases it holds."""

from __future__ import annotations

from labs.messaging.message import Schemas
from labs.store.jobs import Claiming
from labs.store.leases import LeaseKeeper
from labs.store.statements import JobTable
from labs.systems.job_worker import Body, JobSystem, JobWorker
from labs.systems.system import Consuming, WorkerParts


def job_queue(parts: WorkerParts, table: JobTable, schemas: Schemas, system: JobSystem[Body]) -> Consuming:
    """Work on the jobs of a table.

    Args:
        parts: of the worker process.
        table: whose queue it is.
        schemas: the commands on that queue.
        system: the work.
    """
    settings = parts.settings
    jobs = Claiming(parts.database, table)
    keeper = LeaseKeeper(jobs, lease_s=settings.lease_s)
    worker = JobWorker(
        jobs,
        system,
        name=parts.name,
        keeper=keeper,
        ringer=parts.ringer,
        lease_s=settings.lease_s,
        max_crashes=settings.max_crashes,
    )
    return Consuming(
        queue=table.queue,
        schemas=schemas,
        handler=worker.handle,
        give_up=worker.give_up,
        prefetch=settings.prefetch,
        beside=keeper.run,
    )
