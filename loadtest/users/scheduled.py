"""What all users but the Firehose do: send a message whenever their schedule says so, and never skip one."""

from __future__ import annotations

import contextlib
import time
from typing import ClassVar

import gevent
import pika
from locust import User, task
from locust.exception import StopUser
from pika.exceptions import AMQPError

from loadtest.scenario import RECONNECT_S, Scenario, load_of


class ScheduledUser(User):
    """A user that sends a message whenever its schedule says so, over one connection of its own."""

    abstract = True
    scenario_class: ClassVar[type[Scenario]] = Scenario

    def on_start(self) -> None:
        self.connection: pika.BlockingConnection | None = None
        self._is_open = False
        scenario = load_of(self.environment).scenario_of(type(self))
        self._is_ready = scenario is not None
        if scenario is not None:
            self.scenario = scenario
            with contextlib.suppress(AMQPError, OSError):  # the first message will see that
                self._reopen()
            self.pace = scenario.pace()

    @task
    def message(self) -> None:
        """The next message of the schedule."""
        if not self._is_ready:
            raise StopUser  # the load could not begin; why is in the log
        intended_ns = self.pace.wait()
        sent_ns = time.monotonic_ns()
        self.scenario.departed(intended_ns, sent_ns)
        try:
            if not self._is_open:
                self._reopen()
            self.send(intended_ns, sent_ns)
        except (AMQPError, OSError) as error:
            self.scenario.lost()
            self.scenario.fire(self.scenario.kinds[0], intended_ns, error=error)
            self._is_open = False
            self.close()
            gevent.sleep(RECONNECT_S)

    def _reopen(self) -> None:
        self.open()
        self._is_open = True

    def open(self) -> None:
        """Connect; called at the start, and after a lost connection."""

    def send(self, intended_ns: int, sent_ns: int) -> None:
        """Send one message, now, and wait for its confirm or answer."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the connection."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(AMQPError, OSError):
                connection.close()

    def on_stop(self) -> None:
        self.close()
