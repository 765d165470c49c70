"""How fast, and how frugal, the cover-letter system is: the API, one relay, one worker, real broker and database."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import uvloop

from benchmarks.http_load import Answer, OpenLoad, post, quantile
from benchmarks.report import Figure
from labs.broker import VirtualHost, virtual_host
from labs.llm.dials import Constant
from labs.settings import load_settings
from labs.stack.demo import sample_application
from labs.stack.stack import Stack
from labs.store.server import resolve_database

_USERS = 20
_WARM_UP_S = 3.0


@dataclass(frozen=True)
class Bench:
    """A running system of its own."""

    stack: Stack
    vhost: VirtualHost
    database_url: str

    def number(self, query: str) -> float:
        with psycopg.connect(self.database_url) as db:
            row = db.execute(query).fetchone()
        return float(row[0] or 0) if row else 0.0

    def completed(self) -> int:
        return int(self.number("SELECT count(*) FROM cover_letter_jobs WHERE status = 'completed'"))

    def load(self) -> OpenLoad:
        tokens = [self.stack.token(user_id=user) for user in range(1, _USERS + 1)]
        application = sample_application()
        body = {"jobDescription": application.job_description, "cvText": application.cv_text}
        requests = [post("/api/cover-letter", body, token=token) for token in tokens]
        return OpenLoad(self.stack.api_url, lambda number: requests[number % _USERS])

    def wait_completed(self, count: int, *, timeout_s: float) -> float:
        """Seconds until that many jobs are completed; infinite if they never are."""
        started = time.perf_counter()
        while self.completed() < count:
            if time.perf_counter() - started > timeout_s:
                return float("inf")
            time.sleep(0.05)
        return time.perf_counter() - started


@contextlib.contextmanager
def running(*, latency_ms: float, **settings: object) -> Iterator[Bench]:
    """A system on the lab's own broker and database servers, in a virtual host and a database of its own."""
    with prepared(**settings) as bench:
        bench.stack.start()
        bench.stack.stub.set_dials(latency=Constant(ms=latency_ms))
        yield bench


@contextlib.contextmanager
def prepared(**settings: object) -> Iterator[Bench]:
    """The same, and nothing of it started yet."""
    lab = load_settings()
    with virtual_host("bench", settings=lab) as vhost, tempfile.TemporaryDirectory() as folder:
        admin_url = resolve_database(lab)
        name = vhost.name.replace("-", "_")
        with psycopg.connect(admin_url, autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name}")
        database_url = psycopg.conninfo.make_conninfo(admin_url, dbname=name)
        values = {"rate_limit": "1000000/minute", "log_level": "WARNING", **settings}
        try:
            with Stack(vhost.amqp_url, database_url, folder=Path(folder), settings=values) as stack:
                yield Bench(stack, vhost, database_url)
        finally:
            with psycopg.connect(admin_url, autocommit=True) as db:
                db.execute(f"DROP DATABASE {name} WITH (FORCE)")


def slow_model(*, jobs: int = 500) -> list[Figure]:
    """500 jobs at once at a model that takes ten seconds: one worker process holds them all."""
    with running(latency_ms=10_000) as bench:
        worker = psutil.Process(bench.stack.of("worker")[0].pid)
        started = time.perf_counter()
        answers = uvloop.run(bench.load().all_at_once(jobs))
        most_bytes = 0
        while bench.completed() < jobs and time.perf_counter() - started < 60:
            most_bytes = max(most_bytes, worker.memory_info().rss)
            time.sleep(0.1)
        took_s = time.perf_counter() - started
        completed = bench.completed()
    assert all(answer.status == 202 for answer in answers)
    return [
        Figure(f"{jobs} jobs at once, model takes 10 s: all completed after", took_s, "s", at_most=25),
        Figure("  completed", completed, "jobs", at_least=jobs),
        Figure("  most resident memory of the worker", most_bytes / 2**20, "MiB", at_most=250),
    ]


def throughput(*, rate: float = 150.0, seconds: float = 30.0) -> list[Figure]:
    """Instant model: jobs a second through everything, sampled while they come in."""
    with running(latency_ms=0) as bench:
        answers, backlog = asyncio.run(_under_load(bench, rate=rate, seconds=seconds))
        drained_s = bench.wait_completed(len(answers), timeout_s=60)
        span_s = bench.number("SELECT extract(epoch FROM max(completed_at) - min(created_at)) FROM cover_letter_jobs")
        latency = bench.number(
            "SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM completed_at - created_at)) "
            "FROM cover_letter_jobs"
        )
    half = len(backlog) // 2
    growth = sum(backlog[half:]) / len(backlog[half:]) - sum(backlog[:half]) / half
    return [
        Figure(
            f"offered {rate:.0f} jobs/s for {seconds:.0f} s, instant model: completed",
            len(answers) / span_s,
            "jobs/s",
            at_least=rate * 0.99,
        ),
        Figure("  backlog, second half against first", growth, "jobs", at_most=rate * 0.1),
        Figure("  p99 from request to result", latency * 1000, "ms"),
        Figure("  drained after the last request within", drained_s, "s", at_most=1),
    ]


async def _under_load(bench: Bench, *, rate: float, seconds: float) -> tuple[list[Answer], list[int]]:
    """The answers, and how many jobs were open, each second, after a warm-up."""
    backlog: list[int] = []
    query = "SELECT count(*) AS n FROM cover_letter_jobs WHERE status IN ('pending', 'processing')"

    async def sample() -> None:
        async with await psycopg.AsyncConnection.connect(bench.database_url, autocommit=True) as db:
            await asyncio.sleep(_WARM_UP_S)
            while True:
                row = await (await db.execute(query)).fetchone()
                backlog.append(int(row[0]) if row else 0)
                await asyncio.sleep(1)

    sampling = asyncio.create_task(sample())
    answers = await bench.load().run(rate=rate, seconds=seconds)
    sampling.cancel()
    return answers, backlog


def post_latency(*, rate: float = 100.0, seconds: float = 30.0) -> list[Figure]:
    """How long the API takes to accept, while the worker drains."""
    with running(latency_ms=0) as bench:
        load = bench.load()

        async def warm_then_measure() -> list[Answer]:
            await load.run(rate=rate, seconds=_WARM_UP_S)
            return await load.run(rate=rate, seconds=seconds)

        answers = uvloop.run(warm_then_measure())
        expected = int(rate * (seconds + _WARM_UP_S))
        bench.wait_completed(expected, timeout_s=60)
        lost = expected - bench.completed()
    latencies = [answer.latency_s for answer in answers]
    refused = sum(answer.status != 202 for answer in answers)
    return [
        Figure(
            f"POST at {rate:.0f}/s for {seconds:.0f} s: p99 from the intended time",
            quantile(latencies, 0.99) * 1000,
            "ms",
            at_most=50,
        ),
        Figure("  median", quantile(latencies, 0.5) * 1000, "ms"),
        Figure(
            "  p99 of the load generator's own delay", quantile([a.send_delay_s for a in answers], 0.99) * 1000, "ms"
        ),
        Figure("  refused or lost", refused + lost, "jobs", at_most=0),
    ]
