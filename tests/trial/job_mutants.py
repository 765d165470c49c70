"""Small workers with jobs and relays with an outbox, one of each right and the others each wrong in one way.

`python job_mutants.py NAME AMQP_URL DATABASE_URL`. A worker claims a job for the time of a lease, asks a model, and
commits result, status, event and effect at once, unless its fence is an old one by then. A relay publishes the outbox.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import pika
import psycopg
from pika.spec import BasicProperties

from labs.processes import wait_until

QUEUE = "work"
#: A job with this in its name stops its first worker between answer and commit for longer than the lease.
FREEZES = "freezes"
#: The first answer takes longer.
FIRST_S, ANSWER_S = 0.3, 0.05

SCHEMA = """
CREATE TABLE jobs (job text PRIMARY KEY, status text NOT NULL DEFAULT 'pending', fence int NOT NULL DEFAULT 0,
    lease_until timestamptz, result text, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE steps (id bigserial PRIMARY KEY, job text, step text, attempt int,
    at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE calls (id bigserial PRIMARY KEY, job text, begun timestamptz DEFAULT clock_timestamp(), ended timestamptz);
CREATE TABLE outbox (id bigserial PRIMARY KEY, job text, message text, role text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(), published_at timestamptz);
CREATE TABLE effects (message text PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
"""
_STEP = "INSERT INTO steps (job, step, attempt) VALUES (%s, %s, %s)"


class Worker:
    """The right one."""

    #: Nobody else is to take a job that a busy machine only holds up.
    lease_s = 60.0
    claimable = "(status = 'pending' OR (status = 'processing' AND lease_until < clock_timestamp()))"
    mine = "fence = %(fence)s AND status = 'processing'"

    def __init__(self, amqp_url: str, database_url: str) -> None:
        self.amqp_url = amqp_url
        self.database = psycopg.connect(database_url, autocommit=True)

    def run(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=1)
            for method, properties, body in channel.consume(QUEUE):
                wait_until(partial(self.handled, body.decode(), properties.message_id), timeout_s=600)
                channel.basic_ack(method.delivery_tag)

    def handled(self, job: str, message: str) -> bool:
        """Whether its message may be acked."""
        fence = self.claim(job)
        if fence:
            self.ask(job, fence)
            self.complete(job, message, fence)
        row = self.database.execute("SELECT status = 'completed' OR result IS NOT NULL FROM jobs WHERE job = %s", [job])
        return row.fetchone() == (True,)

    def claim(self, job: str) -> int:
        """The fence, or 0 if somebody else has it, or it is done."""
        query = (
            "UPDATE jobs SET status = 'processing', fence = fence + 1, "
            "lease_until = clock_timestamp() + make_interval(secs => %(lease)s) "
            f"WHERE job = %(job)s AND {self.claimable} RETURNING fence"
        )
        with self.database.transaction():
            row = self.database.execute(query, {"job": job, "lease": self.lease_s}).fetchone()
            if row is None:
                return 0
            if row[0] > 1:
                self.database.execute(_STEP, [job, "lease expired", row[0] - 1])
            self.database.execute(_STEP, [job, "processing", row[0]])
            return int(row[0])

    def ask(self, job: str, fence: int) -> None:
        row = self.database.execute("INSERT INTO calls (job) VALUES (%s) RETURNING id", [job]).fetchone()
        time.sleep(FIRST_S if fence == 1 else ANSWER_S)
        self.database.execute("UPDATE calls SET ended = clock_timestamp() WHERE id = %s", row)
        if fence == 1 and FREEZES in job:
            self.freeze(job)

    def freeze(self, job: str) -> None:
        """For longer than its lease, until somebody else has done the job."""
        self.database.execute("UPDATE jobs SET lease_until = clock_timestamp() WHERE job = %s", [job])
        query = "SELECT status = 'completed' FROM jobs WHERE job = %s"
        wait_until(lambda: self.database.execute(query, [job]).fetchone() == (True,), timeout_s=60)

    def complete(self, job: str, message: str, fence: int) -> None:
        query = f"UPDATE jobs SET status = 'completed', result = %(job)s WHERE job = %(job)s AND {self.mine}"
        with self.database.transaction():
            if self.database.execute(query, {"job": job, "fence": fence}).rowcount == 0:
                return
            self.database.execute(_STEP, [job, "completed", fence])
            self.database.execute(
                "INSERT INTO outbox (job, message, role) VALUES (%s, %s, 'end')", [job, f"end-{message}-{fence}"]
            )
            self.database.execute("INSERT INTO effects (message) VALUES (%s) ON CONFLICT DO NOTHING", [message])


class NoFence(Worker):
    """Its lease has run out, and it writes its result over the new owner's."""

    mine = "%(fence)s > 0"


class LeaseTooShort(Worker):
    """Shorter than an answer takes, and never renewed."""

    lease_s = 0.1


class StatusBackwards(Worker):
    """Claims also what is completed, and notices afterwards."""

    claimable = "(lease_until IS NULL OR lease_until < clock_timestamp() OR result IS NOT NULL)"
    mine = "fence = %(fence)s AND result IS NULL"


class Relay:
    """The right one: what is not marked is published, and marked when it is confirmed."""

    def __init__(self, amqp_url: str, database_url: str) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.database = psycopg.connect(database_url, autocommit=True)

    def run(self) -> None:
        while True:
            for number, message in self.rows():
                properties = BasicProperties(message_id=message, delivery_mode=2, headers={"attempt": 1})
                self.channel.basic_publish("", QUEUE, b"", properties, mandatory=True)
                self.database.execute("UPDATE outbox SET published_at = clock_timestamp() WHERE id = %s", [number])
            self.connection.process_data_events(time_limit=0.02)

    def rows(self) -> list[tuple[Any, ...]]:
        return self.database.execute("SELECT id, message FROM outbox WHERE published_at IS NULL ORDER BY id").fetchall()


class CursorOutbox(Relay):
    """Remembers the last id that it saw: a row whose transaction commits late has a smaller one."""

    last = 0

    def rows(self) -> list[tuple[Any, ...]]:
        query = "SELECT id, message FROM outbox WHERE id > %s ORDER BY id"
        found = self.database.execute(query, [self.last]).fetchall()
        self.last = max([self.last, *(number for number, _ in found)])
        return found


WORKERS = (Worker, NoFence, LeaseTooShort, StatusBackwards)
RELAYS = (Relay, CursorOutbox)
PROGRAMS: dict[str, Any] = {each.__name__: each for each in (*WORKERS, *RELAYS)}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2], sys.argv[3]).run()
