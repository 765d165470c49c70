"""Chapter 11: a crew of real workers, hired and fired while jobs come in, and what became of each job."""

from __future__ import annotations

import fcntl
import json
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

from labs.notebook.experiments.jobs import Done
from labs.processes import wait_until
from labs.programs import Program, report

if TYPE_CHECKING:  # a worker needs none of what a notebook needs, and starts sooner without
    from labs.notebook.session import Notebook

_TIMEOUT_S = 60.0


def declare(channel: BlockingChannel, queue: str) -> None:
    """A classic queue, and jobs that are not written to disk: so that the time of the workers is all that counts."""
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "classic"})


def worker(*, url: str, queue: str, prefetch: int, lock: str) -> None:
    """Takes jobs, sleeps over each as long as it says, a part of that under the lock, and acknowledges it."""

    def on_delivery(channel: BlockingChannel, method: Basic.Deliver, _: BasicProperties, body: bytes) -> None:
        began_s, job = time.monotonic(), json.loads(body)
        time.sleep((job["work_ms"] - job["shared_ms"]) / 1000)
        if job["shared_ms"]:
            with alone(lock):
                time.sleep(job["shared_ms"] / 1000)
        channel.basic_ack(method.delivery_tag)
        times = {name: job[name] for name in ("batch", "due_s", "sent_s")}
        report("done", **times, began_s=began_s, done_s=time.monotonic())

    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        declare(channel, queue)
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume(queue, on_delivery)
        report("ready")
        channel.start_consuming()


def reserve(*, gate: str, url: str, queue: str, prefetch: int, lock: str) -> None:
    """A worker that has been hired already, and begins when the gate is there: so that hiring takes no time."""
    report("ready")
    wait_until(Path(gate).exists, timeout_s=_TIMEOUT_S)
    worker(url=url, queue=queue, prefetch=prefetch, lock=lock)


@contextmanager
def alone(lock: str) -> Iterator[None]:
    """Only one process of the machine at a time gets in; the others stand in line."""
    with Path(lock).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Batch:
    """Jobs that are being published, and come back done."""

    def __init__(self, crew: Crew, number: int, count: int, publishing: threading.Thread) -> None:
        self._crew, self._number, self._count, self._publishing = crew, number, count, publishing

    def all_done(self) -> list[Done]:
        """Wait for the last one; in the order in which they were due."""
        self._publishing.join()
        if not wait_until(lambda: len(self._crew.done(self._number)) >= self._count, timeout_s=_TIMEOUT_S):
            raise TimeoutError(f"{len(self._crew.done(self._number))} of {self._count} jobs are done, and no more come")
        return sorted(self._crew.done(self._number), key=lambda job: job.due_s)


class Crew:
    """Workers of one queue, each a process; hire and fire them with `be`."""

    def __init__(self, lab: Notebook, queue: str, *, prefetch: int = 1) -> None:
        self._lab, self.queue = lab, queue
        self._workers: list[Program] = []
        self._gone: list[Program] = []
        self._reserve: list[Program] = []
        self._batches = 0
        self._folder = lab.folder / f"crew-{queue}"
        self._folder.mkdir(exist_ok=True)
        self._terms = {"queue": queue, "prefetch": prefetch, "lock": str(self._folder / "lock")}
        with pika.BlockingConnection(pika.URLParameters(lab.amqp_url)) as connection:
            declare(connection.channel(), queue)

    @property
    def _gate(self) -> Path:
        return self._folder / "gate"

    def be(self, count: int) -> None:
        """Hire or fire until there are so many, all of them ready."""
        while len(self._workers) > count:
            self._gone.append(self._workers.pop())
            self._gone[-1].kill()
        self._workers += [self._lab.program(worker, **self._terms) for _ in range(count - len(self._workers))]
        for program in self._workers:
            program.wait_for("ready")

    def train(self, count: int) -> None:
        """Have so many more in reserve: they do nothing until they are let in."""
        self._reserve = [self._lab.program(reserve, gate=str(self._gate), **self._terms) for _ in range(count)]
        for program in self._reserve:
            program.wait_for("ready")

    def let_in(self) -> None:
        """The reserve begins to work, at once."""
        self._gate.touch()
        self._workers += self._reserve

    def start(self, moments_s: Sequence[float], work_ms: float | Sequence[float], *, shared_ms: float = 0) -> Batch:
        """Publish jobs at these moments, in the background.

        Args:
            moments_s: seconds from now; the schedule doesn't wait for anybody.
            work_ms: of each job, or of all.
            shared_ms: of that, under the lock that the whole crew shares.
        """
        self._batches += 1
        works = [work_ms] * len(moments_s) if isinstance(work_ms, int | float) else list(work_ms)
        jobs = [
            {"batch": self._batches, "due_s": moment, "work_ms": work, "shared_ms": shared_ms}
            for moment, work in zip(moments_s, works, strict=True)
        ]
        publishing = threading.Thread(target=_publish, args=(self._lab.amqp_url, self.queue, jobs), daemon=True)
        publishing.start()
        return Batch(self, self._batches, len(jobs), publishing)

    def do(self, moments_s: Sequence[float], work_ms: float | Sequence[float], *, shared_ms: float = 0) -> list[Done]:
        """Publish jobs, and wait until all are done: see `start`."""
        return self.start(moments_s, work_ms, shared_ms=shared_ms).all_done()

    def done(self, batch: int) -> list[Done]:
        """What is done by now."""
        told = [report for program in [*self._workers, *self._gone] for report in program.of("done")]
        names = ("due_s", "sent_s", "began_s", "done_s")
        return [Done(*(each[name] for name in names)) for each in told if each["batch"] == batch]

    def close(self) -> None:
        """Fire everybody, and delete the queue."""
        self.be(0)
        with pika.BlockingConnection(pika.URLParameters(self._lab.amqp_url)) as connection:
            connection.channel().queue_delete(self.queue)
        shutil.rmtree(self._folder)


def _publish(url: str, queue: str, jobs: list[dict[str, float]]) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        start_s = time.monotonic() + 0.05
        for job in jobs:
            due_s = start_s + job["due_s"]
            time.sleep(max(0.0, due_s - time.monotonic()))
            if job is jobs[-1]:
                channel.confirm_delivery()  # else it may be lost when the connection closes
            channel.basic_publish("", queue, json.dumps({**job, "due_s": due_s, "sent_s": time.monotonic()}).encode())


def watch(*, url: str, queue: str, every_ms: float) -> None:
    """Ask the broker again and again how many messages are ready, and report it."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        while True:
            report("ready", count=channel.queue_declare(queue, passive=True).method.message_count)
            time.sleep(every_ms / 1000)
