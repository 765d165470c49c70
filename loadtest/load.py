"""A load under Locust from its first queue to its last report: made ready, begun, ended, and nothing left behind.

What goes wrong outside of a message, such as a broker that is away, is one line in the log and exit code 1.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gevent
from gevent.lock import RLock
from locust import User
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from labs.broker import resolve
from labs.errors import LabError
from labs.processes import wait_until
from labs.settings import load_settings
from loadtest import arguments
from loadtest.board import Board
from loadtest.engine.plan import PlanError
from loadtest.scenario import Scenario, ScenarioFailed, loads
from loadtest.standing import as_plain

logger = logging.getLogger("loadtest")

_NOTE_S = 1.0
#: Workers have so long to tell how it ended: more than any scenario has to drain.
_LAST_REPORT_S = 60.0


class Load:
    """What all users of one process have in common."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.board = Board()
        self.scenarios: dict[type, Scenario] = {}
        self.url = ""
        self._is_failed = self._is_ending = False
        self._making = RLock()
        loads[environment] = self

    @property
    def options(self) -> Any:
        """Locust's options with ours."""
        return self.environment.parsed_options

    @property
    def runner(self) -> Any:
        """Locust's runner: local, master or worker."""
        return self.environment.runner

    @property
    def is_master(self) -> bool:
        return isinstance(self.runner, MasterRunner)

    @property
    def is_worker(self) -> bool:
        return isinstance(self.runner, WorkerRunner)

    @property
    def worker_index(self) -> int:
        """The number of this process."""
        return max(0, int(getattr(self.runner, "worker_index", 0)))

    def busy(self) -> float:
        """Share of a core that this process uses."""
        return float(self.runner.current_cpu_usage) / 100

    def look(self) -> None:
        """Before anything begins: whether arguments make sense and a broker is there; ends the process if not.

        A master looks when a test begins: it must be there to send its workers home.
        """
        try:
            arguments.check(self.options)
            if self._needs_broker():
                self._find_broker()
        except (PlanError, LabError) as error:
            logger.error(str(error))  # noqa: TRY400 - one line, no traceback
            sys.exit(1)

    def _find_broker(self) -> None:
        self.url = self.url or resolve(load_settings(), progress=logger.info).amqp_url

    def _needs_broker(self) -> bool:
        return any(each.scenario_class.needs_broker for each in self.environment.user_classes)  # type: ignore[attr-defined]

    def choose(self, unnamed: Sequence[type[User]]) -> None:
        """Leave out what nobody has asked for, by name or on the web page."""
        if self.options.user_classes or self.options.class_picker:
            return
        self.environment.user_classes = list(unnamed)
        names = ", ".join(each.__name__ for each in unnamed)
        logger.info("no scenario is named, so these run: %s; --list names all, --class-picker lets you pick", names)

    def begin(self) -> None:
        """A test begins: queues are made, consumers started."""
        self.board.clear()
        self._is_failed = self._is_ending = False
        try:
            if not self.is_worker:
                arguments.check(self.options)
            if self._needs_broker():
                self._find_broker()
        except (PlanError, LabError) as error:
            self.fail(str(error))

    def scenario_of(self, user_class: Any) -> Scenario | None:
        """What users of this class share here, made ready for the first of them; None if the load has failed."""
        with self._making:  # several users begin at once, and wait for the first
            if user_class not in self.scenarios and not self._is_failed:
                try:
                    self._prepare(user_class)
                except (PlanError, LabError, ScenarioFailed) as error:
                    self.scenarios.pop(user_class, None)
                    self.fail(str(error))
            return None if self._is_failed else self.scenarios[user_class]

    def _prepare(self, user_class: Any) -> None:
        made: Scenario = user_class.scenario_class(self, user_class)
        self.scenarios[user_class] = made  # before it makes anything: a load that is stopped meanwhile removes it
        made.prepare()
        self.board.parts.extend(made.parts)

    def wind_down(self) -> None:
        """Before users are stopped: what is under way arrives, and a master hears of it."""
        self._is_ending = True
        if self.is_master:
            self._wait_for_last_reports()
        gevent.joinall([gevent.spawn(scenario.wind_down) for scenario in self.scenarios.values()])
        if self.is_worker:
            self.report()

    def _wait_for_last_reports(self) -> None:
        self.runner.send_message("load_wind_down")
        wait_until(
            lambda: not self.runner.worker_count or all(each.is_over for each in self.board.standings()),
            timeout_s=_LAST_REPORT_S,
        )

    def report(self) -> None:
        """Tell the master now how everything stands."""
        told: dict[str, Any] = {}
        fire: Any = self.environment.events.report_to_master.fire
        fire(client_id=self.runner.client_id, data=told)
        self.runner.send_message("stats", told)

    def end(self) -> None:
        """A test has ended: its queues are removed."""
        for scenario in self.scenarios.values():
            scenario.close()
        self.scenarios = {}
        if self.options.board_file and not self.is_worker:
            self._write(Path(self.options.board_file))

    def _write(self, path: Path) -> None:
        scenarios = {name: each.told() for name, each in self.board.by_scenario().items()}
        series = [{"at_s": at_s, **as_plain(each)} for at_s, each in self.board.series]
        rows = [
            {"kind": row.method, "scenario": row.name, "requests": row.num_requests, "failures": row.num_failures}
            for row in self.environment.stats.entries.values()
        ]
        path.write_text(json.dumps({"scenarios": scenarios, "series": series, "rows": rows}))

    def watch(self) -> None:
        """For ever: remember how things stand, and end a test that is over."""
        while True:
            gevent.sleep(_NOTE_S)
            self.board.note()
            if not self.is_worker and not self._is_ending and self._is_over():
                self._is_ending = True
                self.stop()

    def _is_over(self) -> bool:
        """Whether every user has begun, and has nothing more to do."""
        standings = self.board.standings()
        begun = sum(each.users for each in standings)
        return begun >= self.runner.target_user_count > 0 and all(each.is_over for each in standings)

    def stop(self) -> None:
        """End the test; without a web page also Locust."""
        gevent.spawn(self.runner.quit if self.options.headless else self.runner.stop)

    def warn(self, text: str) -> None:
        """One line in the log."""
        logger.warning(text)

    def fail(self, reason: str) -> None:
        """One line, and the end of the test; a worker leaves both to its master."""
        if self._is_failed:
            return
        self._is_failed = True
        self.environment.process_exit_code = 1
        if self.is_worker:
            self.runner.send_message("load_failed", {"reason": reason})
            return
        logger.error(reason)
        self.stop()
