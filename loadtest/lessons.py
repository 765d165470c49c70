"""Loads for a notebook: in its own virtual host and its own folder, both of which go when the notebook does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labs.broker import VirtualHost
from labs.errors import LabError
from loadtest.engine.plan import Plan
from loadtest.engine.result import Result
from loadtest.engine.run import Watch, execute
from loadtest.place import Place
from loadtest.results import Pending, Run, load, recorded
from loadtest.sampling import BrokerWatch

_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_TIMEOUT_S = 100.0
_COLOURS = {"FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"}


class CommandFailed(LabError):
    """A command of a lesson could not do what it was asked for; the text has its last words."""


@dataclass(frozen=True)
class LocustRun:
    """What Locust has printed when it ended.

    Args:
        rows: of its table, by kind of request and scenario.
    """

    rows: Mapping[tuple[str, str], Mapping[str, Any]]

    def requests(self, kind: str, scenario: str) -> int:
        """How many there were of a kind; 0 if there is no such row."""
        return int(self.rows.get((kind, scenario), {}).get("num_requests", 0))

    @property
    def failures(self) -> int:
        """Of all kinds."""
        return sum(int(row["num_failures"]) for row in self.rows.values())


def sent_frame(result: Result) -> pd.DataFrame:
    """Every message that was sent, in the order of the schedule: when it was meant to go, and how late it went.

    `intended_s` is in seconds of `time.monotonic`, one clock for all processes of a machine.
    """
    intended_ns, sent_ns = (
        np.concatenate([books[name] for books in result.sent.values()]) for name in ("intended_ns", "sent_ns")
    )
    frame = pd.DataFrame({"intended_s": intended_ns / 1e9, "late_ms": (sent_ns - intended_ns) / 1e6})
    return frame.sort_values("intended_s", ignore_index=True)


class Bench:
    """Where a notebook runs its loads; `close` it before the notebook's virtual host.

    Args:
        vhost: all queues are made in it, and removed after each run.
        folder: everything is written below it, the books of runs that go on too: whoever owns it removes what a
            kernel leaves that is killed.
    """

    def __init__(self, vhost: VirtualHost, folder: Path) -> None:
        self._vhost = vhost
        self._folder = folder / "loads"
        self._folder.mkdir(exist_ok=True)
        #: By the name of a run: every message that was sent, see `sent_frame`.
        self.sent: dict[str, pd.DataFrame] = {}
        self._results = self._folder / "results"
        overview = vhost.management.overview()
        self._place = Place(
            url=vhost.amqp_url,
            virtual_host=vhost.name,
            is_own=True,
            management=vhost.management,
            rabbitmq=overview.version,
            erlang=overview.erlang_version,
        )

    def run(self, plan: Plan, *, name: str, watch: Watch = lambda _: None) -> Run:
        """Do one run, write its folder, and give back what a reader of that folder gets.

        Raises:
            RunFailed, PlanError: see `loadtest.engine.run.execute`.
        """
        with BrokerWatch(self._place.management, self._place.virtual_host) as broker:
            result = execute(plan, self._place.url, watch=watch, scratch=self._folder)
        self.sent[name] = sent_frame(result)
        with Pending(self._results, name) as pending:
            pending.add(recorded(result, name=name, place=self._place, broker=broker.samples))
            return load(pending.commit())

    def command(self, *arguments: str) -> str:
        """What `python -m loadtest` prints with these arguments, run as a process in the folder that holds `results`.

        Raises:
            CommandFailed: it could not do it.
        """
        return self._output("loadtest", *arguments, succeeds_with=(0, 1))

    @property
    def newest(self) -> Path:
        """The folder of the last run."""
        return max(self._results.iterdir(), key=lambda folder: folder.stat().st_mtime_ns)

    def locust(self, scenario: str, *arguments: str) -> LocustRun:
        """Run a scenario under Locust, in a process of its own and without the web page, until it ends.

        Raises:
            CommandFailed: it could not do it.
        """
        quietly = ("--headless", "--only-summary", "--json", "--skip-log")
        printed = self._output("locust", "-f", str(_LOCUSTFILE), scenario, *quietly, *arguments, succeeds_with=(0, 1))
        rows = json.loads(printed[printed.find("[") :])
        return LocustRun({(row["method"], row["name"]): row for row in rows})

    def close(self) -> None:
        """Remove all results."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _output(self, module: str, *arguments: str, succeeds_with: tuple[int, ...]) -> str:
        # A kernel asks all that it starts for colours; a notebook keeps text.
        environment = {name: value for name, value in os.environ.items() if name not in _COLOURS}
        environment["TMPDIR"] = str(self._folder)
        environment["LAB_AMQP_URL"] = self._vhost.amqp_url
        environment["LAB_MANAGEMENT_URL"] = self._vhost.broker.management_url
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode not in succeeds_with:
            raise CommandFailed(f"{module} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout
