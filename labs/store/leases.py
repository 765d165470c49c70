"""Keeps the leases of running jobs alive, so that a lease can be short and a model call long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from labs.errors import DatabaseUnavailable
from labs.store.jobs import Claim, Claiming

log = structlog.get_logger()


class LeaseKeeper:
    """Renews what is held; `run` until cancelled.

    A process that dies stops renewing, and its jobs can be claimed by others `lease_s` seconds later.
    """

    def __init__(self, jobs: Claiming, *, lease_s: float) -> None:
        self._jobs = jobs
        self._lease_s = lease_s
        self._held: dict[str, Claim] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            if not self._held:
                continue
            with contextlib.suppress(DatabaseUnavailable):
                held = list(self._held.values())
                kept = await self._jobs.renew(held, lease_s=self._lease_s)
                lost = [claim.job_id for claim in held if claim.job_id not in kept and claim.job_id in self._held]
                if lost:
                    log.warning("leases lost: the results of these jobs will be refused", jobs=lost[:10])

    @contextlib.asynccontextmanager
    async def holding(self, claim: Claim) -> AsyncIterator[None]:
        """Renew a claim for the length of a block."""
        self._held[claim.job_id] = claim
        try:
            yield
        finally:
            if self._held.get(claim.job_id) is claim:
                del self._held[claim.job_id]
