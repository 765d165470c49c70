"""The cover-letter flow with an instant model, ours beside the same flow on Celery: one worker process each.

The jobs are committed first, and relayed to their queue; then the worker is started. Jobs per second are those from
the first claim to the last of all three effects of each job: the letter with its event, the e-mail's line in the log,
the count by day; by the database's clock. Each run has a virtual host, a database and a stub model of its own, on the
same servers.

Both run the same statements on the same schema, claim and complete in two transactions around the model call, ask the
same stub over HTTP with the same package, write the same outbox, history and inbox rows, publish with confirms
through a relay beside the worker, and ack late. Ours is asyncio with quorum queues, retry queues, dead letters, leases
kept alive, hints for who waits, and one transaction for all events that wait to be noted or counted. Celery has
durable classic queues and its own retries; its pool is the fastest of those that were tried (solo, threads).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks.peers.environment import PeersMissing, environment
from benchmarks.report import NOT_MEASURED, Figure
from benchmarks.service import Bench, prepared
from labs.llm.dials import Constant
from labs.messaging.message import now
from labs.processes import wait_until
from labs.settings import ROOT
from labs.stack.demo import sample_application
from labs.store.database import Database
from labs.store.jobs import Jobs, NewJob
from labs.systems.cover_letters.jobs import TABLE, command
from labs.systems.cover_letters.messages import GenerateCoverLetter
from labs.systems.cover_letters.topology import GENERATE_QUEUE
from labs.telemetry import new_traceparent

_JOBS, _QUICK_JOBS = 2000, 200
_TIMEOUT_S = 120.0
_EFFECTS = 3  # of each job
_POOL = ("--pool=threads", "--concurrency=10")


@dataclass(frozen=True)
class Flow:
    """What a flow came to."""

    rate: float
    cpu_ms: float


def letters(*, quick: bool = False) -> list[Figure]:
    """One round: ours, then Celery's. CPU is that of the worker process, user and system."""
    jobs = _QUICK_JOBS if quick else _JOBS
    ours = _ours(jobs)
    try:
        celery = _on_celery(environment(), jobs)
    except (PeersMissing, RuntimeError) as error:
        Console().print(str(error), style="yellow")
        celery = Flow(NOT_MEASURED, NOT_MEASURED)
    return [
        Figure("cover letters, instant model: ours", ours.rate, "jobs/s"),
        Figure("  our worker's CPU", ours.cpu_ms, "ms/job"),
        Figure("  the same flow on Celery", celery.rate, "jobs/s"),
        Figure("  its worker's CPU", celery.cpu_ms, "ms/job"),
        Figure("  ours against Celery", ours.rate / celery.rate, "times", at_least=1.5),
    ]


def _ours(jobs: int) -> Flow:
    with prepared(log_level="INFO") as bench:
        _submit(bench, jobs)
        bench.stack.start_relay()
        _wait_for_commands(bench, jobs)
        return _measured(bench, jobs, pid=bench.stack.start_worker().pid)


def _submit(bench: Bench, jobs: int) -> None:
    """Commit the jobs as the API does, and have an instant model."""
    bench.stack.start_stub()
    bench.stack.stub.set_dials(latency=Constant(ms=0))
    asyncio.run(_create(bench.database_url, jobs))


async def _create(database_url: str, jobs: int) -> None:
    application = sample_application()
    async with Database(database_url, name="bench") as database:
        await database.apply_schema()
        table = Jobs(database, TABLE)
        for number in range(jobs):
            body = GenerateCoverLetter(
                jobId=str(uuid.uuid4()),
                userId=1 + number % 20,
                jobDescription=application.job_description,
                cvText=application.cv_text,
                createdAt=now(),
            )
            inputs = {"job_description": body.jobDescription, "cv_text": body.cvText, "tone": body.tone.value}
            message = command(body, traceparent=new_traceparent())
            new = NewJob(job_id=body.jobId, user_id=body.userId, email=None, inputs=inputs, message=message)
            await table.create(new)


def _wait_for_commands(bench: Bench, jobs: int) -> None:
    relayed = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL"
    if not wait_until(lambda: bench.number(relayed) == jobs, timeout_s=_TIMEOUT_S):
        raise RuntimeError("the jobs' messages were not relayed")
    if bench.vhost.depth(GENERATE_QUEUE).messages != jobs:
        raise RuntimeError(f"the queue should hold {jobs} jobs: {bench.vhost.depth(GENERATE_QUEUE)}")


def _measured(bench: Bench, jobs: int, *, pid: int) -> Flow:
    """Jobs per second when all effects of all of them are there, and the CPU of a worker from its first job on."""
    claims, effects = "SELECT count(*) FROM job_history WHERE step = 'processing'", "SELECT count(*) FROM inbox"
    if not wait_until(lambda: bench.number(claims) > 0, timeout_s=_TIMEOUT_S, every_s=0.02):
        raise RuntimeError(f"no job was begun within {_TIMEOUT_S:.0f} s")
    worker = psutil.Process(pid)
    began_s = sum(worker.cpu_times()[:2])
    if not wait_until(lambda: bench.number(effects) == _EFFECTS * jobs, timeout_s=_TIMEOUT_S, every_s=0.25):
        raise RuntimeError(f"{bench.number(effects):.0f} of {_EFFECTS * jobs} effects after {_TIMEOUT_S:.0f} s")
    cpu_s = sum(worker.cpu_times()[:2]) - began_s
    took_s = bench.number(
        "SELECT extract(epoch FROM max(at) - (SELECT min(at) FROM job_history WHERE step = 'processing')) FROM inbox"
    )
    return Flow(jobs / took_s, cpu_s / jobs * 1000)


def _on_celery(programs: Path, jobs: int) -> Flow:
    with prepared() as bench, contextlib.ExitStack() as processes:
        _submit(bench, jobs)
        told = {
            "BENCH_AMQP_URL": bench.vhost.amqp_url,
            "BENCH_DATABASE_URL": bench.database_url,
            "BENCH_MODEL_URL": bench.stack.stub.base_url,
            "PYTHONPATH": str(ROOT),
        }
        app = "benchmarks.peers.celery_letters"
        processes.enter_context(_running([programs / "python", "-m", app], told))
        _wait_for_commands(bench, jobs)
        celery: list[str | Path] = [programs / "celery", f"--app={app}", "worker", *_POOL]
        quietly = ["--without-gossip", "--without-mingle", "--loglevel=INFO"]
        return _measured(bench, jobs, pid=processes.enter_context(_running([*celery, *quietly], told)))


@contextlib.contextmanager
def _running(command: list[str | Path], told: dict[str, str]) -> Iterator[int]:
    """A process for the length of a block; gives its pid."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **told}
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
