"""Workers with jobs and relays with an outbox that are wrong in one way are caught, each with the right anomaly."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pika
import psycopg
import pytest
from pika.spec import BasicProperties

from labs.broker import Depth, VirtualHost, depth
from labs.processes import wait_until
from labs.trial import operations as op
from labs.trial.checker import Anomaly, Result, Verdict, check
from labs.trial.history import History, Ids
from labs.trial.operations import Promises
from labs.trial.site import clock_offset_ns, monotonic_ns
from labs.trial.tap import Tap
from tests.trial import job_mutants, mutants
from tests.trial.job_mutants import FREEZES, QUEUE, RELAYS, SCHEMA, WORKERS

JOBS, MESSAGES = 4, 8
PROMISES = Promises(queues=(QUEUE,), asks_model=True, unconfirmed=100, prefetch=1, consumers={QUEUE: 2})
RELAY_PROMISES = Promises(queues=(QUEUE,), jobs=False, unconfirmed=100, prefetch=mutants.PREFETCH)


class Bench:
    """A broker behind a tap, a database with jobs and an outbox, and programs; `seed` decides what comes when."""

    def __init__(self, vhost: VirtualHost, database_url: str, history: History, tap: Tap) -> None:
        self.direct_url = vhost.amqp_url
        address = urlsplit(vhost.amqp_url)
        self.amqp_url = f"amqp://{address.netloc.rpartition('@')[0]}@127.0.0.1:{tap.port}{address.path}"
        self.database_url = database_url
        self.history = history
        self.database = psycopg.connect(database_url, autocommit=True)
        self.database.execute(SCHEMA)
        with pika.BlockingConnection(pika.URLParameters(self.direct_url)) as connection:
            connection.channel().queue_declare(QUEUE, durable=True)

    @contextmanager
    def running(self, name: str, module: str = job_mutants.__file__) -> Iterator[None]:
        with subprocess.Popen([sys.executable, module, name, self.amqp_url, self.database_url]) as process:
            try:
                yield
            finally:
                process.kill()

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        for kind in ("invoke", "info"):
            self.history.add("nemesis", kind, op.FAULT, value=name)  # type: ignore[arg-type]
        yield
        self.history.add("nemesis", "ok", op.FAULT, value=name)

    def submit(self, database: psycopg.Connection, job: str) -> None:
        """Make a job with its message in a transaction of the caller's."""
        self.history.add("client", "invoke", op.SUBMIT, Ids(request=f"of {job}"), value=job)
        database.execute("INSERT INTO jobs (job) VALUES (%s)", [job])
        database.execute("INSERT INTO steps (job, step, attempt) VALUES (%s, 'pending', 0)", [job])
        database.execute("INSERT INTO outbox (job, message, role) VALUES (%s, %s, 'request')", [job, f"do-{job}"])
        self.history.add("client", "ok", op.SUBMIT, Ids(request=f"of {job}", job=job))

    def publish_twice(self, jobs: list[str]) -> None:
        """As a relay does that dies between confirm and mark."""
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for job in (job for job in jobs for _ in range(2)):
                properties = BasicProperties(message_id=f"do-{job}", delivery_mode=2, headers={"attempt": 1})
                channel.basic_publish("", QUEUE, job.encode(), properties, mandatory=True)

    def drain(self, *, consumers: int) -> None:
        """Wait until the queue is empty, and everything in it was acked."""

        def done() -> bool:
            settled = sum(event.operation == op.SETTLE for event in list(self.history.events))
            published = sum(e.operation == op.PUBLISH and e.kind == "ok" for e in list(self.history.events))
            return settled == published and depth(self.direct_url, QUEUE, timeout_s=60) == Depth(0, consumers)

        ended = wait_until(done, timeout_s=120)
        self.history.add("runner", "ok" if ended else "fail", op.PHASE, value=op.DRAIN)

    def write_down(self) -> None:
        """What the database knows."""
        add, offset_ns = self.history.add, clock_offset_ns()
        for job, at in self.database.execute("SELECT job, at FROM jobs").fetchall():
            add(
                "database", "ok", op.ROW, Ids(request=f"of {job}", job=job), at_ns=monotonic_ns(at, offset_ns=offset_ns)
            )
        for job, message, role, at in self.database.execute("SELECT job, message, role, at FROM outbox ORDER BY id"):
            about = Ids(job=job, message=message, queue=QUEUE if role == op.REQUEST else "")
            add("database", "ok", op.OUTBOX, about, at_ns=monotonic_ns(at, offset_ns=offset_ns), value=role)
        for message, at in self.database.execute(
            "SELECT message, published_at FROM outbox WHERE published_at IS NOT NULL"
        ):
            add("database", "ok", op.MARK, Ids(message=message), at_ns=monotonic_ns(at, offset_ns=offset_ns))
        for job, step, attempt, at in self.database.execute("SELECT job, step, attempt, at FROM steps ORDER BY id"):
            at_ns = monotonic_ns(at, offset_ns=offset_ns)
            add("database", "ok", op.STATUS, Ids(job=job, attempt=attempt), at_ns=at_ns, value=step)
        for message, at in self.database.execute("SELECT message, at FROM effects"):
            at_ns = monotonic_ns(at, offset_ns=offset_ns)
            add("database", "ok", op.EFFECT, Ids(message=message, queue=QUEUE), at_ns=at_ns, value=op.DONE)
        for job, result in self.database.execute("SELECT job, result FROM jobs WHERE result IS NOT NULL"):
            add("database", "ok", op.RESULT, Ids(job=job), value=result)
        for job, begun, ended in self.database.execute("SELECT job, begun, ended FROM calls WHERE ended IS NOT NULL"):
            add("model", "invoke", op.CALL, Ids(job=job), at_ns=monotonic_ns(begun, offset_ns=offset_ns))
            add("model", "ok", op.CALL, Ids(job=job), at_ns=monotonic_ns(ended, offset_ns=offset_ns))


@pytest.fixture
def bench(vhost: VirtualHost, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with (
        History(tmp_path / "history.jsonl") as history,
        Tap(history, broker_port=urlsplit(vhost.amqp_url).port or 5672) as tap,
    ):
        yield Bench(vhost, database_url, history, tap)


def tried_worker(bench: Bench, name: str, seed: int) -> Result:
    """Two workers on jobs whose messages come twice; the first worker of one of the jobs freezes."""
    jobs = [f"job-{number}" for number in range(JOBS)]
    jobs[random.Random(seed).randrange(JOBS)] += f"-{FREEZES}"
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(bench.running(name))
        assert wait_until(lambda: depth(bench.direct_url, QUEUE, timeout_s=60).consumers == 2, timeout_s=120)
        with bench.fault("a worker freezes"):
            for job in jobs:
                bench.submit(bench.database, job)
            bench.publish_twice(jobs)
            bench.drain(consumers=2)
    bench.write_down()
    return check(bench.history.events, PROMISES)


def tried_relay(bench: Bench, name: str, seed: int) -> Result:
    """A relay of messages, of which one is committed when the ones after it are published; and the right consumer."""
    late = random.Random(seed).randrange(MESSAGES - 1)
    with psycopg.connect(bench.database_url) as slow, ExitStack() as stack:
        stack.enter_context(bench.running("Consumer", mutants.__file__))
        stack.enter_context(bench.running(name))
        with bench.fault("a slow transaction"):
            for number in range(MESSAGES):
                bench.submit(slow if number == late else bench.database, f"job-{number}")
            left = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
            assert wait_until(lambda: bench.database.execute(left).fetchone() == (0,), timeout_s=120)
            slow.commit()
            # The right one is waited for; the wrong one has as long as the right one needs many times over.
            seconds = 60 if name == "Relay" else 2
            wait_until(lambda: bench.database.execute(left).fetchone() == (0,), timeout_s=seconds)
        bench.drain(consumers=1)
    bench.write_down()
    return check(bench.history.events, RELAY_PROMISES)


#: What each is caught with, and what goes along with it.
WRONG_WORKERS: dict[str, tuple[Anomaly, set[Anomaly]]] = {
    "NoFence": (Anomaly.TWO_RESULTS, {Anomaly.TWO_EVENTS}),
    "LeaseTooShort": (Anomaly.TWO_AT_ONCE, set()),
    "StatusBackwards": (Anomaly.STATUS_BACKWARDS, set()),
}
WRONG_RELAYS: dict[str, tuple[Anomaly, set[Anomaly]]] = {
    "CursorOutbox": (Anomaly.NEVER_PUBLISHED, {Anomaly.NO_EFFECT}),
}
#: The first in the short form, all of them in the long form.
SEEDS = [pytest.param(seed, marks=() if seed == 1 else pytest.mark.long) for seed in range(1, 6)]


def assert_caught(result: Result, anomaly: Anomaly, along: set[Anomaly]) -> None:
    found = set(map(Anomaly, result.anomalies))
    assert result.verdict == Verdict.INVALID, result.why
    assert anomaly in found <= {anomaly} | along, "\n".join([str(result.anomalies), result.why, *result.story])
    assert result.first is not None
    assert result.first.anomaly == anomaly


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", WRONG_WORKERS)
def test_a_wrong_worker_is_caught(bench: Bench, name: str, seed: int) -> None:
    assert_caught(tried_worker(bench, name, seed), *WRONG_WORKERS[name])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", WRONG_RELAYS)
def test_a_wrong_relay_is_caught(bench: Bench, name: str, seed: int) -> None:
    assert_caught(tried_relay(bench, name, seed), *WRONG_RELAYS[name])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_right_worker_is_valid(bench: Bench, seed: int) -> None:
    result = tried_worker(bench, "Worker", seed)
    assert result.verdict == Verdict.VALID, "\n".join([result.why, *result.story])
    assert result.counts["completed"] == JOBS


@pytest.mark.parametrize("seed", SEEDS)
def test_the_right_relay_is_valid(bench: Bench, seed: int) -> None:
    result = tried_relay(bench, "Relay", seed)
    assert result.verdict == Verdict.VALID, "\n".join([result.why, *result.story])
    assert result.counts["confirmed"] == MESSAGES


def test_every_mutant_is_on_trial() -> None:
    assert {"Worker", *WRONG_WORKERS} == {each.__name__ for each in WORKERS}
    assert {"Relay", *WRONG_RELAYS} == {each.__name__ for each in RELAYS}
