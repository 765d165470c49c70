"""A work queue: users hand over tasks, each confirmed; consumers share them. Done means: a consumer has had it."""

from __future__ import annotations

import itertools
from typing import Any

from loadtest.amqp import body, connect, consume, declare_queue, properties, times_of
from loadtest.scenario import Scenario
from loadtest.users.scheduled import ScheduledUser


class WorkQueueScenario(Scenario):
    """Queues, over which users are dealt out, each with its consumers."""

    def declare(self, channel: Any) -> None:
        self.queues = [self.made("queue", f"{self.name}.{number}") for number in range(self.plan.queues)]
        for queue in self.queues:
            declare_queue(channel, queue, self.plan)
        self.part.copies = self.plan.consumers if self.plan.queue_type == "stream" else min(1, self.plan.consumers)
        # Every consumer of a stream gets all of it; and without consumers nothing is received.
        for _, queue in zip(range(max(self.plan.consumers, len(self.queues))), itertools.cycle(self.queues)):
            if self.plan.consumers:
                self.start(consume, self.url, queue, self.plan, self._done)
        self.turns = itertools.cycle(self.queues)

    def _done(self, received: bytes) -> None:
        intended_ns, sent_ns = times_of(received)
        self.received(intended_ns, sent_ns)
        self.fire("done", intended_ns, length=len(received))


class WorkQueue(ScheduledUser):
    """Publishes tasks, one after the other, each confirmed before the next."""

    scenario: WorkQueueScenario
    scenario_class = WorkQueueScenario

    def open(self) -> None:
        self.queue = next(self.scenario.turns)
        self.connection = connect(self.scenario.url, self.scenario.name)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def send(self, intended_ns: int, sent_ns: int) -> None:
        plan = self.scenario.plan
        task = body(plan.size, intended_ns, sent_ns)
        self.channel.basic_publish("", self.queue, task, properties(plan), mandatory=True)
        self.scenario.confirmed(intended_ns, sent_ns)
        self.scenario.fire("publish", intended_ns, length=len(task))
