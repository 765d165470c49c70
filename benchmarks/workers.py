"""Workers that do nothing with their jobs: what a framework costs, ours beside four that people would pick instead.

The jobs of about a kilobyte are published first; then the worker, one process, is started, and times itself from its
first to its last job. Afterwards it is stopped, and its queue must be empty: all were acknowledged. Each run has a
virtual host of its own on the same broker; a round is one run of each, one after the other.

- ours: quorum queue with retry and dead-letter queues, envelope and body validated, prefetch 500, uvloop.
- Celery: durable classic queue, late acks, solo pool, prefetch 1,000, no gossip, no mingle, no results.
- Dramatiq: durable classic queue, its usual middleware, one thread (faster than its default of eight), prefetch 100.
- FastStream: durable classic queue, ack after the handler, prefetch 100, uvloop.
- Taskiq: durable queue as its broker declares it, ack when executed, prefetch 100, uvloop.

All publish persistent messages; the settings of a peer are the fastest of those that were tried.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from benchmarks.peers.contender import Contender, Timed, own_programs, run
from benchmarks.peers.environment import PeersMissing, environment
from benchmarks.report import NOT_MEASURED, Figure

_JOBS, _QUICK_JOBS = 20_000, 2_000

OURS = Contender(
    "ours",
    ("python", "-m", "benchmarks.peers.labs_worker", "publish"),
    ("python", "-m", "benchmarks.peers.labs_worker", "work"),
)


def _peer(name: str, *work: str, **variables: str) -> Contender:
    return Contender(name, ("python", "-m", f"benchmarks.peers.{name.lower()}_worker"), work, variables)


PEERS = (
    _peer(
        "Celery",
        *("celery", "--app=benchmarks.peers.celery_worker", "worker", "--pool=solo"),
        *("--without-gossip", "--without-mingle", "--loglevel=WARNING"),
    ),
    _peer(
        "Dramatiq",
        *("dramatiq", "benchmarks.peers.dramatiq_worker", "--processes=1", "--threads=1"),
        dramatiq_queue_prefetch="100",
    ),
    _peer("FastStream", "faststream", "run", "benchmarks.peers.faststream_worker:app"),
    _peer(
        "Taskiq",
        *("taskiq", "worker", "benchmarks.peers.taskiq_worker:broker", "--workers=1", "--ack-type=when_executed"),
    ),
)


def workers(*, quick: bool = False) -> list[Figure]:
    """One round; the goal is against the fastest of the four in the same round."""
    jobs = _QUICK_JOBS if quick else _JOBS
    ours = run(OURS, own_programs(), jobs=jobs)
    try:
        programs = environment()
    except PeersMissing as error:
        Console().print(str(error), style="yellow")
        return figures(ours, {peer.name: None for peer in PEERS})
    return figures(ours, {peer.name: _run_peer(peer, programs, jobs) for peer in PEERS})


def _run_peer(peer: Contender, programs: Path, jobs: int) -> Timed | None:
    try:
        return run(peer, programs, jobs=jobs)
    except RuntimeError as error:
        Console().print(str(error), style="yellow")
        return None


def figures(ours: Timed, peers: dict[str, Timed | None]) -> list[Figure]:
    """Rates, CPU and ratios of one round."""
    measured = [timed.rate for timed in peers.values() if timed is not None]
    fastest = max(measured, default=NOT_MEASURED)
    rows = [Figure("our worker, jobs that do nothing", ours.rate, "jobs/s"), Figure("  its CPU", ours.cpu_us, "µs/job")]
    for name, timed in peers.items():
        rows.append(Figure(f"{name}'s worker, the same", timed.rate if timed else NOT_MEASURED, "jobs/s"))
        rows.append(Figure("  its CPU", timed.cpu_us if timed else NOT_MEASURED, "µs/job"))
    return [*rows, Figure("  ours against the fastest of them", ours.rate / fastest, "times", at_least=2.5)]
