"""Consumes what a run has published: every message is looked at, counted, and acknowledged after that."""

from __future__ import annotations

import select
import time
from typing import Any

from pamqp import commands

from loadtest.engine.clients import RECONNECT_S, consume
from loadtest.engine.consumption import IDLE_S, Consumption
from loadtest.engine.deliveries import Deliveries, DeliveryReader
from loadtest.engine.frames import marshalled
from loadtest.engine.plan import Task
from loadtest.engine.publisher import GATHER_S
from loadtest.engine.wire import Link, LinkError, refuse_if_closed

#: More messages than this in one look: for some time each look may wait a little, and will find as many.
_MANY = 8
_BUSY_S = 0.01


class Subscription:
    """One queue on one connection."""

    def __init__(self, task: Task, queue: str) -> None:
        self._task, self.queue = task, queue
        self.link: Link | None = None
        self._unacked = 0
        self._last_tag = 0

    def connect(self) -> None:
        """Open the connection and subscribe.

        Raises:
            LinkError: the broker doesn't answer, or refuses.
        """
        plan = self._task.plan
        link = Link.open(self._task.url, name=f"load consumer {self._task.number} of {self.queue}")
        link.call(commands.Basic.Qos(prefetch_count=plan.prefetch), commands.Basic.QosOk)
        arguments: dict[str, Any] = {"x-stream-offset": "first"} if plan.queue_type == "stream" else {}
        subscribe = commands.Basic.Consume(queue=self.queue, consumer_tag="load", arguments=arguments)
        link.call(subscribe, commands.Basic.ConsumeOk)
        self._reader = DeliveryReader(plan.size)
        self._unacked = 0
        self.link = link

    def read(self) -> list[Deliveries]:
        """What has arrived.

        Raises:
            LinkError: the connection is lost, or the consumer was cancelled.
        """
        assert self.link is not None
        self.link.wait(0)
        deliveries: list[Deliveries] = []
        for answer in self._reader.read(self.link.inbox):
            if isinstance(answer, Deliveries):
                deliveries.append(answer)
                self._unacked += answer.count
                self._last_tag = answer.last_tag
            else:
                refuse_if_closed(answer)
        return deliveries

    def acknowledge(self, *, idle: bool) -> None:
        """Acknowledge everything so far, if it is enough for one ack, or nothing more comes."""
        assert self.link is not None
        if self.link.pending or not self._unacked or (self._unacked < self._task.plan.ack_every and not idle):
            return
        self.link.send(marshalled(commands.Basic.Ack(delivery_tag=self._last_tag, multiple=True)))
        self._unacked = 0

    def close(self) -> None:
        """Acknowledge the rest, and go."""
        if self.link is not None:
            self.acknowledge(idle=True)
            self.link.close()
            self.link = None


class Consuming:
    """The engine's consumer, with a connection for each of its queues."""

    def __init__(self, account: Consumption) -> None:
        self._account = account
        self._subscriptions = [Subscription(account.task, queue) for queue in account.task.queues]
        self._busy_until_s = 0.0

    def connect(self) -> None:
        for subscription in self._subscriptions:
            subscription.connect()

    def step(self) -> None:
        idle, count = self._account.is_idle, 0
        for subscription in self._subscriptions:
            try:
                if subscription.link is None:
                    subscription.connect()
                for deliveries in subscription.read():
                    count += deliveries.count
                    self._account.take(deliveries, queue=subscription.queue)
                subscription.acknowledge(idle=idle)
            except LinkError as error:
                self._lost(subscription, error)
        self._wait(many=count > _MANY)

    def disconnect(self) -> None:
        for subscription in self._subscriptions:
            try:
                subscription.close()
            except LinkError as error:
                self._account.lost(error)

    def _wait(self, *, many: bool) -> None:
        now_s = time.monotonic()
        if many:
            self._busy_until_s = now_s + _BUSY_S
        if now_s < self._busy_until_s:
            time.sleep(GATHER_S)
            return
        sockets = [subscription.link.sock for subscription in self._subscriptions if subscription.link is not None]
        select.select(sockets, [], [], IDLE_S)

    def _lost(self, subscription: Subscription, error: LinkError) -> None:
        if subscription.link is not None:
            subscription.link.close()
            subscription.link = None
        self._account.lost(error)
        time.sleep(RECONNECT_S)


def main(task: Task) -> None:
    """Run one consumer, and leave its books in a file."""
    account = Consumption(task)
    consume(account, Consuming(account))
