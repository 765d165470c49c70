"""Runs one contender once: its jobs are published first, then its worker is started, timed, stopped and checked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.job import QUEUE
from labs.broker import VirtualHost, virtual_host
from labs.broker.depth import Depth
from labs.processes import wait_until
from labs.settings import ROOT, load_settings

_WORK_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 15.0
_LOG_TAIL = 1500


@dataclass(frozen=True)
class Contender:
    """A worker that can be measured.

    Args:
        name: as people know it.
        publish: the command that publishes the jobs, its program relative to the environment's.
        work: the command of the worker.
        variables: of the worker's environment.
    """

    name: str
    publish: tuple[str, ...]
    work: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Timed:
    """What a worker took from its first to its last job."""

    jobs: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.wall_s

    @property
    def cpu_us(self) -> float:
        """User and system time of its process for each job."""
        return self.cpu_s / self.jobs * 1e6


def run(contender: Contender, programs: Path, *, jobs: int) -> Timed:
    """One run on the lab's broker, in a virtual host of its own.

    Args:
        programs: the folder of the environment's programs.

    Raises:
        RuntimeError: a program failed, or messages were left: nothing is measured then.
    """
    with virtual_host("peers", settings=load_settings()) as vhost, tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        told = {"BENCH_AMQP_URL": vhost.amqp_url, "BENCH_JOBS": str(jobs), "BENCH_RESULT": str(result)}
        variables = {**os.environ, **contender.variables, **told, "PYTHONPATH": str(ROOT)}
        _publish([str(programs / contender.publish[0]), *contender.publish[1:]], variables, cwd=folder)
        _wait_for(vhost, jobs)
        with _working([str(programs / contender.work[0]), *contender.work[1:]], variables, folder) as running:
            done = wait_until(lambda: result.exists() or not running(), timeout_s=_WORK_TIMEOUT_S)
        if not (done and result.exists()):
            raise RuntimeError(f"{contender.name} has not done its jobs:\n{_tail(folder)}")
        if not wait_until(lambda: vhost.depth(QUEUE) == Depth(messages=0, consumers=0), timeout_s=10):
            raise RuntimeError(f"{contender.name} left messages that it had not acknowledged: {vhost.depth(QUEUE)}")
        return Timed(jobs, **json.loads(result.read_text()))


def _publish(command: list[str], variables: Mapping[str, str], *, cwd: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables, cwd=cwd)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} has failed:\n{done.stderr[-_LOG_TAIL:]}")


def _wait_for(vhost: VirtualHost, jobs: int) -> None:
    """Until they are all there: some publish without waiting for confirms."""
    if not wait_until(lambda: vhost.depth(QUEUE).messages == jobs, timeout_s=10):
        raise RuntimeError(f"published {jobs} jobs, but the queue holds {vhost.depth(QUEUE)}")


@contextlib.contextmanager
def _working(command: list[str], variables: Mapping[str, str], folder: str) -> Iterator[Callable[[], bool]]:
    """A worker that runs for the length of a block; gives what tells whether it still does."""
    with (Path(folder) / "log.txt").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=variables, cwd=folder, start_new_session=True
        )
        try:
            yield lambda: process.poll() is None
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _tail(folder: str) -> str:
    return (Path(folder) / "log.txt").read_text(errors="replace")[-_LOG_TAIL:]


def own_programs() -> Path:
    """Where the programs of this environment are."""
    return Path(sys.executable).parent
