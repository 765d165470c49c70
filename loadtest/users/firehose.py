"""Firehose: the engine as a user. Its counts and latencies are fed into Locust's, exact to the last message.

One user is one run of the engine, with processes and queues of its own: several share the rate.
"""

from __future__ import annotations

import itertools
from typing import ClassVar

from locust import User, task
from locust.exception import StopUser

from loadtest import arguments
from loadtest.engine_run import EngineRun
from loadtest.scenario import Scenario, load_of


class FirehoseScenario(Scenario):
    """All runs of the engine in one process."""

    #: More would be a slip: `--users` is meant for the other scenarios.
    most_runs: ClassVar[int] = 4

    kinds = ("publish", "deliver")

    def prepare(self) -> None:
        self.runs: list[EngineRun] = []
        self._numbers = itertools.count()

    def run(self) -> EngineRun | None:
        """Start one more; None if there are enough."""
        number = next(self._numbers)  # starting one takes a while, and other users start theirs meanwhile
        if number >= self.most_runs:
            self.load.fail(f"each Firehose user is an engine of its own: at most {self.most_runs} in one process")
            return None
        options = self.load.options
        part = self.load.worker_index * self.most_runs + number
        plan = arguments.plan_of(options, share=1 / options.load_users, part=part)
        run = EngineRun(self.load, plan, title=self.title)
        self.runs.append(run)
        if self._is_over:
            run.stop()
        return run

    def wind_down(self) -> None:
        self._is_over = True
        for run in self.runs:
            run.stop()
        for run in self.runs:
            run.wait()

    def close(self) -> None:
        self.wind_down()


class Firehose(User):
    """One run of the engine; its user is done when the run is."""

    scenario_class = FirehoseScenario

    @task
    def engine(self) -> None:
        """The whole run."""
        scenario = load_of(self.environment).scenario_of(type(self))
        run = scenario.run() if isinstance(scenario, FirehoseScenario) else None
        if run is not None:
            try:
                run.wait()
            finally:
                run.stop()
        raise StopUser
