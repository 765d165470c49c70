"""The lease keeper: work may take longer than a lease, and a dead process keeps nothing."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from labs.errors import LeaseLost
from labs.store.database import Database
from labs.store.jobs import Jobs, NotClaimed
from labs.store.leases import LeaseKeeper
from tests.databases import claim, completion, create, rows
from tests.waiting import eventually

#: A third of it goes by between two renewals: the rest is for a machine that is busy with everything else.
LEASE_S = 9.0


async def held_s(jobs: Jobs, job_id: str) -> float | None:
    standing = await jobs.claim(job_id, lease_s=30, worker="w2")
    assert isinstance(standing, NotClaimed)
    return standing.held_for_s


async def lease_until(database: Database) -> datetime:
    until: datetime = (await rows(database, "SELECT lease_until FROM cover_letter_jobs"))[0]["lease_until"]
    return until


async def crashed(database: Database) -> bool:
    return (await rows(database, "SELECT max(crashes) AS n FROM cover_letter_jobs"))[0]["n"] > 0


async def test_a_held_claim_outlives_its_lease_until_the_work_ends(jobs: Jobs, database: Database) -> None:
    keeper = LeaseKeeper(jobs, lease_s=LEASE_S)
    task = asyncio.create_task(keeper.run())
    job_id = (await create(jobs)).job.job_id
    mine = await claim(jobs, job_id, lease_s=LEASE_S)
    async with keeper.holding(mine):

        async def renewed() -> bool:
            return await lease_until(database) > until

        until = await lease_until(database)
        await eventually(renewed)
        assert (await held_s(jobs, job_id) or 0) > 0
    # After the block nobody renews it, and the next claim finds the lease run out.

    async def run_out() -> bool:
        await held_s(jobs, job_id)
        return await crashed(database)

    await eventually(run_out)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_lost_lease_is_said_and_does_not_end_the_keeper(jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    keeper = LeaseKeeper(jobs, lease_s=LEASE_S)
    task = asyncio.create_task(keeper.run())
    lost, kept = [(await create(jobs)).job.job_id for _ in range(2)]
    old, mine = await claim(jobs, lost), await claim(jobs, kept, lease_s=LEASE_S)
    await jobs.release(old, error="x")
    new = await claim(jobs, lost, worker="w2")
    said: list[str] = []

    def warned() -> bool:
        said.append("".join(capsys.readouterr()))
        return any("leases lost" in text and lost in text and kept not in text for text in said)

    async with keeper.holding(old), keeper.holding(mine):
        await eventually(warned)
        assert (await held_s(jobs, kept) or 0) > 0
    with pytest.raises(LeaseLost):
        await jobs.complete(old, result="r", event=completion(lost))
    await jobs.complete(new, result="r", event=completion(lost))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
