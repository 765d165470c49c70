"""What a job has left behind, read from the notebook's own database and told as stops and spans for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from labs.display import Span, Stop
from labs.messaging.message import Message
from labs.messaging.publisher import Publisher
from labs.notebook.letters import until
from labs.notebook.session import Notebook
from labs.stack.child import Child
from labs.stack.stack import Stack
from labs.store.jobs import Reading, Step
from labs.store.trace import TracedStep, trace
from labs.systems.cover_letters.jobs import TABLE
from labs.systems.cover_letters.topology import EVENT_QUEUES, GENERATE_QUEUE

_NO_WAIT_S = 0.05

_COMMAND = """
SELECT message_id, type, version, body, correlation_id, occurred_at FROM outbox
WHERE correlation_id = %s ORDER BY id LIMIT 1
"""


async def way_of(lab: Notebook, job_id: str, *, events: int = len(EVENT_QUEUES)) -> list[Stop]:
    """Every step of a completed job, once so many events of its completion have been handled."""
    async with lab.database as database:

        async def look() -> list[TracedStep] | None:
            steps = await trace(database, job_id)
            handled = sum(step.what.startswith("event ") for step in steps)
            return steps if handled == events else None

        steps = await until(look, what="the events of the completion")
    return [_stop(step, lab.stack) for step in steps]


async def history_of(lab: Notebook, job_id: str) -> list[Step]:
    """The history that the job's own transactions wrote."""
    [history] = await histories_of(lab, [job_id])
    return history


async def histories_of(lab: Notebook, job_ids: Sequence[str]) -> list[list[Step]]:
    """The histories of several jobs, the one that began first before the others."""
    async with lab.database as database:
        reading = Reading(database, TABLE)
        histories = [await reading.history(job_id) for job_id in job_ids]
    return sorted(histories, key=lambda steps: steps[0].at)


async def worker_on(lab: Notebook, job_id: str) -> Child:
    """The worker process that has claimed a job, as soon as one has and the model works on it."""

    async def look() -> Child | None:
        claims = [step for step in await history_of(lab, job_id) if step.step == "processing"]
        with lab.model as model:
            asked = model.ledger(request_id=job_id).calls
        return _child(lab.stack, claims[-1].worker or "") if claims and asked else None

    return await until(look, what="a worker that has claimed the job")


async def deliver_again(lab: Notebook, job_id: str, *, times: int) -> None:
    """Publish a job's command again, the very same message, as a relay does that died before it could take note."""
    async with lab.database as database, database.connection() as db:
        row = await (await db.execute(_COMMAND, [job_id])).fetchone()
    if row is None:
        raise LookupError(f"there is no message for job {job_id}")
    message = Message(
        message_id=str(row["message_id"]),
        type=row["type"],
        version=row["version"],
        body=row["body"].encode(),
        correlation_id=row["correlation_id"],
        occurred_at=row["occurred_at"],
    )
    async with Publisher(lab.amqp_url, name="duplicates") as publisher:
        for _ in range(times):
            await publisher.publish(message, exchange="", routing_key=GENERATE_QUEUE)


def name_of(stack: Stack, worker: str) -> str:
    """The short name of a worker: its long one holds host and pid."""
    child = _child(stack, worker)
    return child.name if child is not None else worker.partition("@")[0]


def _child(stack: Stack, worker: str) -> Child | None:
    pid = worker.rpartition(":")[2]
    return next((child for child in stack.children if str(child.pid) == pid), None)


def _stop(step: TracedStep, stack: Stack) -> Stop:
    lane = step.where.split("@")[0].split()[0].rstrip(",")
    where = name_of(stack, step.where) if lane == "worker" else step.where
    return Stop(step.at, lane, step.what, "" if where == lane else where)


def spans_of(
    steps: Sequence[Step], *, since: datetime, killed_at: datetime | None = None, until_s: float | None = None
) -> list[Span]:
    """A history as stretches of time, in seconds since a moment.

    Args:
        steps: of one job.
        since: where the chart begins.
        killed_at: when its worker was killed, if it was: the dead write no history.
        until_s: where an unfinished job's last stretch ends.
    """
    at = [(step.at - since).total_seconds() for step in steps]
    ends = [*at[1:], at[-1] if until_s is None else until_s]
    dead_s = None if killed_at is None else (killed_at - since).total_seconds()
    spans: list[Span] = []
    for step, start_s, end_s in zip(steps, at, ends, strict=True):
        spans += _spans_of_step(step, start_s, end_s, dead_s)
    return spans


def _spans_of_step(step: Step, start_s: float, end_s: float, dead_s: float | None) -> list[Span]:
    if step.step == "processing" and dead_s is not None and start_s < dead_s < end_s:
        return [Span("processing", start_s, dead_s, "killed"), Span("held by the dead", dead_s, end_s, "lease")]
    kinds = {
        "pending": Span("pending", start_s, end_s),
        "processing": Span("processing", start_s, end_s, f"attempt {step.detail.get('attempt', 1)}"),
        "attempt failed": Span("waiting", start_s, end_s, f"{(end_s - start_s) * 1000:,.0f} ms"),
        "failed": Span("in the dead-letter queue", start_s, end_s),
        "completed": Span("completed", start_s, start_s),
    }
    span = kinds.get(step.step)
    # Between the last attempt and the dead-letter queue nothing is waited for.
    too_short = step.step == "attempt failed" and end_s - start_s < _NO_WAIT_S
    return [] if span is None or too_short else [span]
