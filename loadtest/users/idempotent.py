"""Idempotent consumers: some messages are published twice, and each has its effect in the database once.

A request `done` is a message whose effect has happened, `again` a copy that was recognised. At the end effects and
messages are counted against each other; a difference is a failed request `once`.
"""

from __future__ import annotations

import contextlib
import functools
import random
import uuid
from typing import Any, cast

import psycopg

from labs.patterns import idempotent
from labs.patterns.address import scratch_database_url
from loadtest.amqp import body, connect, declare_queue, properties, times_of
from loadtest.scenario import Scenario, ScenarioFailed
from loadtest.users.scheduled import ScheduledUser


@functools.cache
def _database_url() -> str:
    """An empty database for this process, gone at its end."""
    return scratch_database_url()


class IdempotentScenario(Scenario):
    """A queue, a database, and consumers between them."""

    def declare(self, channel: Any) -> None:
        self.queue = self.made("queue", self.name)
        declare_queue(channel, self.queue, self.plan)
        self._random = random.Random(self.plan.seed)  # noqa: S311 - a seed must give the same run again
        try:
            self._database = psycopg.connect(_database_url(), autocommit=True)
            self._database.execute(f"DROP TABLE IF EXISTS ledger, handled; {idempotent.SCHEMA}".encode())
        except psycopg.Error as error:
            raise ScenarioFailed(f"{self.title} has no database: {error}") from error
        for _ in range(max(1, self.plan.consumers)):
            self.start(self._consume)

    def is_doubled(self) -> bool:
        """Whether chance has the next message published twice."""
        return self._random.random() < float(self.load.options.failing)

    def _consume(self) -> None:
        with (
            contextlib.closing(connect(self.url, f"{self.name} consumer")) as connection,
            psycopg.connect(_database_url(), autocommit=True) as database,
        ):
            channel = connection.channel()
            channel.basic_qos(prefetch_count=self.plan.prefetch)
            for method, sent, payment in cast("Any", channel.consume(self.queue)):
                is_new = idempotent.handle_once(database, self.queue, sent.message_id, _pay, payment)
                channel.basic_ack(method.delivery_tag)  # last: what is acked is committed
                self._handled(payment, is_new=is_new)

    def _handled(self, payment: bytes, *, is_new: bool) -> None:
        intended_ns, sent_ns = times_of(payment)
        if is_new:
            self.received(intended_ns, sent_ns)
        self.fire("done" if is_new else "again", intended_ns, length=len(payment))

    def wind_down(self) -> None:
        if not self._is_over and hasattr(self, "_database"):
            super().wind_down()
            [(effects,)] = self._database.execute("SELECT count(*) FROM ledger")
            wrong = None if effects == self.part.received else ValueError(f"{effects} effects of {self.part.received}")
            self.fire("once", 0, error=wrong)

    def close(self) -> None:
        super().close()
        if hasattr(self, "_database"):
            self._database.close()


def _pay(database: psycopg.Connection[Any], _: bytes) -> None:
    idempotent.pay(database, b"1 load")


class Idempotent(ScheduledUser):
    """Publishes messages, each confirmed, some of them twice, as one who saw no confirm would."""

    scenario: IdempotentScenario
    scenario_class = IdempotentScenario

    def open(self) -> None:
        self.connection = connect(self.scenario.url, self.scenario.name)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def send(self, intended_ns: int, sent_ns: int) -> None:
        plan = self.scenario.plan
        payment, sent = body(plan.size, intended_ns, sent_ns), properties(plan, message_id=str(uuid.uuid4()))
        for _ in range(1 + self.scenario.is_doubled()):
            self.channel.basic_publish("", self.scenario.queue, payment, sent, mandatory=True)
        self.scenario.confirmed(intended_ns, sent_ns)
        self.scenario.fire("publish", intended_ns, length=len(payment))
