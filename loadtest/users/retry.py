"""Retry with delays, then a dead-letter queue: tasks that fail at some attempts come back later, or die.

A request `done` lasts from the moment at which its message was meant to be sent until the attempt that succeeded, all
delays included; `dead` until its last attempt had failed.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from typing import Any

import pika

from labs.patterns import retry_dlq
from loadtest.amqp import body, connect, times_of
from loadtest.scenario import Scenario
from loadtest.users.scheduled import ScheduledUser

#: Shorter than the pattern's own, so that short runs see messages come back and die.
DELAYS_MS = (250, 500, 1000)
#: The byte of a body that says how many of its attempts fail.
_FAILING = 16


class RetryScenario(Scenario):
    """A work queue with its delays, its dead-letter queue, and its consumers."""

    def declare(self, channel: Any) -> None:
        self.queue = self.name
        for queue in retry_dlq.declare(channel, self.queue, delays_ms=DELAYS_MS):
            self.made("queue", queue)
        self._random = random.Random(self.plan.seed)  # noqa: S311 - a seed must give the same run again
        for _ in range(max(1, self.plan.consumers)):
            self.start(self._consume)

    def task(self, intended_ns: int, sent_ns: int) -> bytes:
        """A task that fails at its first attempts, as often as chance has it."""
        failing = 0
        while failing <= len(DELAYS_MS) and self._random.random() < self.load.options.failing:
            failing += 1
        made = bytearray(body(self.plan.size, intended_ns, sent_ns))
        made[_FAILING] = failing
        return bytes(made)

    def _consume(self) -> None:
        with contextlib.ExitStack() as stack:
            # Two connections: a broker that holds up publishers must not hold up the acks.
            incoming, outgoing = (
                stack.enter_context(contextlib.closing(connect(self.url, f"{self.name} consumer"))).channel()
                for _ in range(2)
            )
            incoming.basic_qos(prefetch_count=self.plan.prefetch)
            outgoing.confirm_delivery()
            for delivery in incoming.consume(self.queue):
                self._settle(incoming, outgoing, delivery)

    def _settle(self, incoming: Any, outgoing: Any, delivery: Any) -> None:
        _, properties, task = delivery
        attempt = (properties.headers or {}).get("attempt", 1)
        fails = attempt <= task[_FAILING]

        def work(_: bytes) -> None:
            if fails:
                raise ConnectionError("this attempt is one that fails")

        retry_dlq.settle(incoming, outgoing, delivery, queue=self.queue, task=work, delays_ms=DELAYS_MS)
        if fails and attempt <= len(DELAYS_MS):
            return
        self.received(*times_of(task))
        self.fire("dead" if fails else "done", times_of(task)[0], length=len(task))


class Retry(ScheduledUser):
    """Publishes tasks, one after the other, each confirmed before the next."""

    scenario: RetryScenario
    scenario_class = RetryScenario

    def open(self) -> None:
        self.connection = connect(self.scenario.url, self.scenario.name)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def send(self, intended_ns: int, sent_ns: int) -> None:
        task = self.scenario.task(intended_ns, sent_ns)
        like = pika.BasicProperties(message_id=str(uuid.uuid4()))
        retry_dlq.publish(self.channel, self.scenario.queue, task, like)
        self.scenario.confirmed(intended_ns, sent_ns)
        self.scenario.fire("publish", intended_ns, length=len(task))
