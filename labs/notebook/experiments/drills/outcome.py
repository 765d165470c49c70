"""What became of the requests: counted from the clients' own notes and the job history, which nothing ever changes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from labs.errors import DatabaseUnavailable
from labs.messaging.dead_letters import redrive
from labs.messaging.publisher import Publisher
from labs.messaging.topology import dead_letter_queue
from labs.notebook.experiments.drills.load import Request
from labs.notebook.letters import NoAnswer, until
from labs.notebook.session import Notebook
from labs.store.database import Database, Row
from labs.systems.cover_letters.topology import EVENT_QUEUES, GENERATE_QUEUE

#: Longer than anything here takes to heal, also on a busy machine.
DRAIN_TIMEOUT_S = 60.0

_COMPLETIONS = """
SELECT job_id, extract(epoch FROM at)::float8 AS at FROM job_history
WHERE step = 'completed' AND job_id = ANY(%s) ORDER BY id
"""
_ENDED = "SELECT job_id, status FROM cover_letter_jobs WHERE status IN ('completed', 'failed') AND job_id = ANY(%s)"


@dataclass(frozen=True)
class Outcome:
    """The requests of a drill, and the moments of their completions by job. Seconds of `time.time`."""

    requests: Sequence[Request]
    completed_at: dict[str, list[float]]
    redriven: int

    @property
    def accepted_all(self) -> bool:
        """Whether every request got its 202, and a job of its own."""
        return self.accepted == len(self.requests) > 0

    @property
    def accepted(self) -> int:
        return len({request.job_id for request in self.requests if request.job_id})

    @property
    def completed(self) -> int:
        return len(self.completed_at)

    @property
    def twice(self) -> int:
        """Jobs whose result was committed more than once."""
        return sum(len(moments) > 1 for moments in self.completed_at.values())

    @property
    def lost(self) -> int:
        """Accepted, and never completed."""
        return self.accepted - self.completed

    def waits_s(self) -> list[tuple[float, float]]:
        """For each completed request when its letter came, and how long its user had waited since the first try."""
        return [
            (self.completed_at[request.job_id][0], self.completed_at[request.job_id][0] - request.asked_at)
            for request in self.requests
            if request.job_id in self.completed_at
        ]


async def drained(lab: Notebook, requests: Sequence[Request], *, timeout_s: float = DRAIN_TIMEOUT_S) -> Outcome:
    """Wait until every job has ended, send back what is in the dead-letter queue, and count; also what never ended."""
    ids = [request.job_id for request in requests if request.job_id]
    deadline = time.monotonic() + timeout_s
    redriven = 0
    async with lab.database as database:
        while time.monotonic() < deadline:
            statuses = await _ended(database, ids, timeout_s=deadline - time.monotonic())
            if "failed" not in statuses:
                break
            redriven += await _send_back(lab)
        rows = await _rows(database, _COMPLETIONS, ids)
    completed_at: dict[str, list[float]] = {}
    for row in rows:
        completed_at.setdefault(row["job_id"], []).append(row["at"])
    return Outcome(requests, completed_at, redriven)


async def _ended(database: Database, ids: list[str], *, timeout_s: float) -> Counter[str]:
    async def all_ended() -> Counter[str] | None:
        try:
            rows = await _rows(database, _ENDED, ids)
        except DatabaseUnavailable:
            return None
        return Counter(row["status"] for row in rows) if len(rows) == len(set(ids)) else None

    try:
        return await until(all_ended, what="the end of all jobs", timeout_s=timeout_s)
    except NoAnswer:
        return Counter()  # what is missing is counted as lost


async def _rows(database: Database, query: str, ids: list[str]) -> list[Row]:
    async with database.connection() as db:
        return await (await db.execute(query, [ids])).fetchall()


async def _send_back(lab: Notebook) -> int:
    async with Publisher(lab.amqp_url, name="redrive") as publisher:
        done = await redrive(lab.amqp_url, dead_letter_queue(GENERATE_QUEUE), publisher=publisher)
    return len(done.matched)


_EFFECTS = """
SELECT (SELECT count(*) FROM cover_letter_jobs WHERE status = 'completed') AS letters,
       (SELECT count(*) FROM outbox WHERE type = 'cover-letter.completed') AS events,
       (SELECT count(*) FROM inbox JOIN outbox USING (message_id)
        WHERE type = 'cover-letter.completed' AND consumer = ANY(%s) AND outcome = 'done') AS handled,
       (SELECT coalesce(sum(completed), 0) FROM analytics_daily) AS counted
"""


async def every_letter_told_once(lab: Notebook) -> bool:
    """Whether each completed job has one event, handled once by each of its consumers; waits until that is so."""
    async with lab.database as database:

        async def told() -> bool:
            [row] = await _rows(database, _EFFECTS, list(EVENT_QUEUES))
            wanted = (row["letters"], len(EVENT_QUEUES) * row["letters"], row["letters"])
            return (row["events"], row["handled"], row["counted"]) == wanted

        try:
            return await until(told, what="the events of all letters", timeout_s=DRAIN_TIMEOUT_S)
        except NoAnswer:
            return False
