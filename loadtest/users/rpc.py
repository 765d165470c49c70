"""Calls over RabbitMQ: a question to one of several servers, its answer back; a request is a call with its answer."""

from __future__ import annotations

from typing import Any

from labs.patterns import rpc
from loadtest.amqp import body, without_heartbeats
from loadtest.scenario import Scenario
from loadtest.users.scheduled import ScheduledUser

_TIMEOUT_S = 5.0


class RpcScenario(Scenario):
    """A queue of questions and its servers, which answer with the question."""

    kinds = ("call",)

    def declare(self, channel: Any) -> None:
        self.queue = self.made("queue", self.name)
        channel.queue_declare(self.queue, durable=True)  # as its servers declare it
        for _ in range(max(1, self.plan.consumers)):
            self.start(rpc.serve, self.url, self.queue, bytes)


class Rpc(ScheduledUser):
    """Asks one question after the other."""

    scenario: RpcScenario
    scenario_class = RpcScenario

    def open(self) -> None:
        self.caller = rpc.Caller(without_heartbeats(self.scenario.url))
        self.connection = self.caller.connection

    def send(self, intended_ns: int, sent_ns: int) -> None:
        question = body(self.scenario.plan.size, intended_ns, sent_ns)
        try:
            answer = self.caller.call(self.scenario.queue, question, timeout_s=_TIMEOUT_S)
        except TimeoutError as error:
            self.scenario.lost()
            self.scenario.fire("call", intended_ns, error=error)
            return
        self.scenario.received(intended_ns, sent_ns)
        self.scenario.fire("call", intended_ns, length=len(answer))
