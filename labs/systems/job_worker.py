"""Turns a delivery into exactly one effect on its job: claim, work outside any transaction, commit behind the fence.

At-least-once delivery, effect exactly once per job, order not kept. A duplicate of an ended job does nothing; one
of a job that is being worked on comes back later. A crash leaves a lease that runs out, and the job is claimed
again; after `max_crashes` of them it fails. What a system adds is the work, and how its end is committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import structlog
from pydantic import BaseModel

from labs import failpoints
from labs.errors import DatabaseUnavailable, Deferred, DependencyDown, LabError, LeaseLost, PermanentError
from labs.messaging.delivery import Delivery
from labs.messaging.message import now
from labs.messaging.supervision import Backoff
from labs.store.hints import Ringer
from labs.store.jobs import Claim, Claiming, JobStatus, NotClaimed
from labs.store.leases import LeaseKeeper
from labs.store.outbox import OUTBOX_HINT
from labs.systems.finish import Finish, Work
from labs.systems.quarantine import Quarantine
from labs.telemetry import JOB_SECONDS

log = structlog.get_logger()

T = TypeVar("T")
Body = TypeVar("Body", bound=BaseModel)

#: Hints about a job's status have its id as their topic.
JOBS_HINT = "jobs"
#: Seconds until a duplicate of a running job looks again, at least and at most.
_LOOK_AGAIN_S = (0.5, 5.0)


@dataclass(frozen=True)
class JobSystem(Generic[Body]):
    """What a system says of its jobs.

    Args:
        name: of the system, for metrics.
        job_id: of a message.
        perform: the work; may be repeated after a failure, so it changes nothing but its result.
        finish: commits the end of a job.
    """

    name: str
    job_id: Callable[[Body], str]
    perform: Callable[[Body], Awaitable[Work]]
    finish: Finish[Body]


class JobWorker(Generic[Body]):
    """The handler of a queue of jobs."""

    def __init__(
        self,
        jobs: Claiming,
        system: JobSystem[Body],
        *,
        name: str,
        keeper: LeaseKeeper,
        ringer: Ringer,
        lease_s: float,
        max_crashes: int,
    ) -> None:
        self._jobs = jobs
        self._system = system
        self._name = name
        self._keeper = keeper
        self._ringer = ringer
        self._lease_s = lease_s
        self._max_crashes = max_crashes
        self._quarantine = Quarantine()

    async def handle(self, delivery: Delivery) -> None:
        """Do the job of a delivery, unless it is done, or someone is at it."""
        body = self._body(delivery)
        allowed = 0
        while True:
            async with self._quarantine.turn(allowed):
                asked_s = time.monotonic()
                claim = await self._claim(delivery, self._system.job_id(body), allowed)
                if isinstance(claim, Claim):
                    await self._work(claim, delivery, asked_s=asked_s)
                    return
            if claim.status.terminal:
                log.info("duplicate of an ended job", job_id=self._system.job_id(body), status=claim.status.value)
                return
            self._refuse_or_defer(claim)
            allowed = claim.crashes

    @staticmethod
    def _body(delivery: Delivery) -> Body:
        return cast(Body, delivery.body)  # the queue's schemas parse nothing else

    async def _claim(self, delivery: Delivery, job_id: str, allowed_crashes: int) -> Claim | NotClaimed:
        claim = await self._jobs.claim(
            job_id,
            lease_s=self._lease_s,
            worker=self._name,
            redrives=delivery.message.redrives,
            allowed_crashes=allowed_crashes,
            detail={
                "deliveredAt": delivery.received_at.isoformat(),
                "attempt": delivery.message.attempt,
                "redelivered": delivery.redelivered,
                "queue": delivery.queue,
            },
        )
        if isinstance(claim, Claim):
            self._ringer.ring(JOBS_HINT, job_id)
            failpoints.reach("job.claimed", delivery.message.body.decode(errors="replace"))
        return claim

    def _refuse_or_defer(self, standing: NotClaimed) -> None:
        if standing.crashes > self._max_crashes:
            raise PermanentError(f"given up: {standing.crashes} workers died on it")
        if standing.held_for_s is not None and standing.held_for_s > 0:
            least_s, most_s = _LOOK_AGAIN_S
            raise Deferred("another worker is at it", delay_s=min(max(standing.held_for_s, least_s), most_s))

    async def _work(self, claim: Claim, delivery: Delivery, *, asked_s: float) -> None:
        body = self._body(delivery)
        try:
            async with self._keeper.holding(claim), self._released_on_failure(claim):
                # A process that stood still meanwhile would do, and pay for, what another one does by now.
                if time.monotonic() - asked_s > self._lease_s:
                    raise Deferred("its claim ran out before the work began", delay_s=_LOOK_AGAIN_S[0])
                work = await self._system.perform(body)
                failpoints.reach("job.performed")
                await until_up(lambda: self._system.finish.complete(claim, body, work))
        except LeaseLost as error:
            log.warning("result discarded", job_id=claim.job_id, reason=str(error))
            return
        self._observe(delivery, JobStatus.COMPLETED)
        self._ringer.ring(OUTBOX_HINT)
        self._ringer.ring(JOBS_HINT, claim.job_id)

    @contextlib.asynccontextmanager
    async def _released_on_failure(self, claim: Claim) -> AsyncIterator[None]:
        """Whoever fails alive gives the job back: only the dead leave a lease to run out."""
        try:
            yield
        except LeaseLost:
            raise
        except asyncio.CancelledError:
            with contextlib.suppress(DatabaseUnavailable):  # we are leaving: one try
                await self._jobs.release(claim, error="the worker was stopped")
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, LabError) else type(error).__name__
            await until_up(lambda: self._jobs.release(claim, error=reason))
            self._ringer.ring(JOBS_HINT, claim.job_id)
            raise

    def _observe(self, delivery: Delivery, status: JobStatus) -> None:
        took_s = (now() - delivery.message.occurred_at).total_seconds()
        JOB_SECONDS.labels(self._system.name, status.value).observe(took_s)

    async def give_up(self, delivery: Delivery, reason: str) -> None:
        """End the job of a message that went to the dead-letter queue."""
        body = self._body(delivery)
        job_id = self._system.job_id(body)
        code = reason.split(":", maxsplit=1)[0] if ":" in reason else "given_up"
        if await until_up(lambda: self._system.finish.fail(body, code, reason)):
            self._observe(delivery, JobStatus.FAILED)
        else:
            log.info("a dead letter's job had ended, or is worked on", job_id=job_id)
        self._ringer.ring(OUTBOX_HINT)
        self._ringer.ring(JOBS_HINT, job_id)


async def until_up(step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a harmless-to-repeat step while what it needs is away: the work before it was expensive."""
    backoff = Backoff(first_s=0.1, cap_s=2.0)
    while True:
        try:
            return await step()
        except DependencyDown as error:
            log.warning("holding a result", reason=str(error))
            await backoff.wait()
