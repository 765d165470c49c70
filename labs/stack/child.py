"""A process of the lab, started by another: its log kept, its readiness awaited, its end certain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from labs.errors import LabError
from labs.processes import end, tail, wait_until

#: Seconds to end after SIGTERM: a worker may finish what it runs, see LAB_GRACE_S.
END_TIMEOUT_S = 30.0
#: A process is ready after a second or two; on a machine that starts many at once each gets time.
READY_TIMEOUT_S = 60.0


class ProcessFailed(LabError):
    """A process of the lab did not start, or ended by itself."""


@dataclass(frozen=True)
class ChildRecord:
    """What another process needs to find a child again."""

    name: str
    pid: int
    #: Seconds since the epoch; tells the child from a stranger that was given its pid.
    created_s: float
    url: str | None

    def is_running(self) -> bool:
        """Whether that very process runs."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.created_s) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def end(self, *, grace_s: float) -> None:
        """SIGTERM, and SIGKILL if it takes longer than the grace."""
        if self.is_running():
            end(self.pid, grace_s=grace_s)


class Child:
    """One `python -m labs ...` process, in a session of its own so that Ctrl-C in the terminal is ours alone."""

    def __init__(self, name: str, arguments: list[str], *, environment: Mapping[str, str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = folder / f"{name}.log"
        self._out = folder / f"{name}.out"
        with self.log.open("ab") as log, self._out.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "labs", *arguments],
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )
        self._created_s = psutil.Process(self._process.pid).create_time()
        self.url: str | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def record(self) -> ChildRecord:
        return ChildRecord(self.name, self.pid, self._created_s, self.url)

    def wait_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the process has said that it is ready.

        Raises:
            ProcessFailed: it ended, or took too long; the text holds the end of its log.
        """
        wait_until(lambda: self._announced() or not self.is_running, timeout_s=timeout_s, every_s=0.02)
        if not self._announced():
            how = "is not ready" if self.is_running else f"ended with exit code {self._process.returncode}"
            raise ProcessFailed(f"{self.name} {how}; the end of {self.log}:\n{tail(self.log)}")

    def _announced(self) -> bool:
        line, newline, _ = self._out.read_text().partition("\n")
        if newline:
            self.url = json.loads(line).get("url")
        return bool(newline)

    def signal(self, number: int) -> None:
        """Send a signal to the process, if it runs."""
        if self.is_running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def terminate(self, *, timeout_s: float = 30.0) -> int:
        """SIGTERM; returns the exit code, or kills the process and raises `ProcessFailed` after the timeout."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s=timeout_s)

    def wait(self, *, timeout_s: float) -> int:
        """Wait for the process to end by itself; returns its exit code (negative: the signal that ended it)."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessFailed(f"{self.name} did not end within {timeout_s:g} s and was killed") from None
