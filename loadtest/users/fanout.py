"""Publish/subscribe: one event, a copy for every subscription; each copy that arrives is a request of its own."""

from __future__ import annotations

from typing import Any

from loadtest.amqp import body, connect, consume, declare_queue, properties, times_of
from loadtest.scenario import Scenario
from loadtest.users.scheduled import ScheduledUser

_LEAST_SUBSCRIPTIONS = 2


class FanOutScenario(Scenario):
    """A fanout exchange, its subscriptions, and the consumers of each."""

    kinds = ("publish", "receive")

    def declare(self, channel: Any) -> None:
        self.exchange = self.made("exchange", self.name)
        channel.exchange_declare(self.exchange, exchange_type="fanout", durable=True)
        subscriptions = max(self.plan.queues, _LEAST_SUBSCRIPTIONS)
        of_each = self.plan.consumers if self.plan.queue_type == "stream" else min(1, self.plan.consumers)
        self.part.copies = subscriptions * of_each
        for number in range(subscriptions):
            queue = self.made("queue", f"{self.name}.{number}")
            declare_queue(channel, queue, self.plan)
            channel.queue_bind(queue, self.exchange)
            for _ in range(self.plan.consumers):
                self.start(consume, self.url, queue, self.plan, self._received)

    def _received(self, event: bytes) -> None:
        intended_ns, sent_ns = times_of(event)
        self.received(intended_ns, sent_ns)
        self.fire("receive", intended_ns, length=len(event))


class FanOut(ScheduledUser):
    """Publishes events, one after the other, each confirmed: it is in every subscription's queue."""

    scenario: FanOutScenario
    scenario_class = FanOutScenario

    def open(self) -> None:
        self.connection = connect(self.scenario.url, self.scenario.name)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def send(self, intended_ns: int, sent_ns: int) -> None:
        plan = self.scenario.plan
        event = body(plan.size, intended_ns, sent_ns)
        self.channel.basic_publish(self.scenario.exchange, "", event, properties(plan), mandatory=True)
        self.scenario.confirmed(intended_ns, sent_ns)
        self.scenario.fire("publish", intended_ns, length=len(event))
