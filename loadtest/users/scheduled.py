"""What all users but the Firehose do: send a message whenever their schedule says so, and never skip one."""

from __future__ import annotations

import contextlib
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
        scenario = load_of(self.environment).scenarios.get(type(self))
        if scenario is None:
            raise StopUser  # the load could not begin
        self.scenario = scenario
        self.connection: pika.BlockingConnection | None = None
        self.pace = scenario.pace()

    @task
    def message(self) -> None:
        """The next message of the schedule."""
        intended_ns = self.pace.wait()
        try:
            if self.connection is None:
                self.open()
            self.send(intended_ns)
        except (AMQPError, OSError) as error:
            self.scenario.fire("publish", intended_ns, error=error)
            self.close()
            gevent.sleep(RECONNECT_S)

    def open(self) -> None:
        """Connect; called before the first message, and after a lost connection."""

    def send(self, intended_ns: int) -> None:
        """Send one message and wait for its confirm or answer."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the connection."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(AMQPError, OSError):
                connection.close()

    def on_stop(self) -> None:
        self.close()
