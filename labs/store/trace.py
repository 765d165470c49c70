"""The way of one job through row, outbox, broker, worker and events, from what each step left in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from labs.errors import JobNotFound
from labs.store.database import Database, Row

_OUTBOX = """
SELECT message_id, exchange, routing_key, consumers, created_at, published_at, publishes, last_error
FROM outbox WHERE correlation_id = %s ORDER BY id
"""
_INBOX = "SELECT consumer, outcome, at FROM inbox WHERE message_id = ANY(%s) ORDER BY at"


@dataclass(frozen=True)
class TracedStep:
    """One thing that happened."""

    at: datetime
    what: str
    where: str


async def trace(database: Database, job_id: str) -> list[TracedStep]:
    """All that is known of a job, in order of time.

    Raises:
        JobNotFound: nothing is known of it.
    """
    async with database.connection() as db:
        cursor = await db.execute("SELECT * FROM job_history WHERE job_id = %s ORDER BY id", [job_id])
        history = await cursor.fetchall()
        if not history:
            raise JobNotFound(f"there is no job {job_id}")
        cursor = await db.execute(_OUTBOX, [job_id])
        messages = await cursor.fetchall()
        cursor = await db.execute(_INBOX, [[row["message_id"] for row in messages]])
        effects = await cursor.fetchall()
    steps = [step for row in history for step in _of_history(row)]
    steps += [step for row in messages for step in _of_message(row)]
    steps += [_of_effect(row) for row in effects if row["consumer"] not in _first_consumers(messages)]
    return sorted(steps, key=lambda step: step.at)


def _first_consumers(messages: list[Row]) -> list[str]:
    """The effect of the command itself is the job's row, which the history tells."""
    return list(messages[0]["consumers"]) if messages else []


def _of_history(row: Row) -> list[TracedStep]:
    detail = row["detail"] or {}
    worker = row["worker"] or "api"
    if row["step"] == "pending":
        return [TracedStep(row["at"], "row and outbox message committed: pending", "database")]
    if row["step"] == "processing":
        again = ", redelivered" if detail.get("redelivered") else ""
        delivered = f"delivered, attempt {detail.get('attempt', 1)}{again}"
        return [
            TracedStep(datetime.fromisoformat(detail["deliveredAt"]), delivered, f"queue {detail['queue']}"),
            TracedStep(row["at"], f"claimed: processing (claim {row['attempt']})", worker),
        ]
    if row["step"] == "completed" and "askedAt" in detail:
        asked_at = datetime.fromisoformat(detail["askedAt"])
        model = f"model {detail['model']}"
        return [
            TracedStep(asked_at, "model asked", model),
            TracedStep(asked_at + timedelta(seconds=detail["modelSeconds"]), "model answered", model),
            TracedStep(row["at"], "result and event committed: completed", "database"),
        ]
    error = f": {detail['error']}" if "error" in detail else ""
    return [TracedStep(row["at"], f"{row['step']}{error}", worker)]


def _of_message(row: Row) -> list[TracedStep]:
    if row["published_at"] is None:
        return []
    again = f" ({row['publishes']} times)" if row["publishes"] > 1 else ""
    where = f"exchange {row['exchange']}, key {row['routing_key']}"
    return [TracedStep(row["published_at"], f"published and confirmed{again}", where)]


def _of_effect(row: Row) -> TracedStep:
    what = "event handled" if row["outcome"] == "done" else "event given up"
    return TracedStep(row["at"], what, f"queue {row['consumer']}")
