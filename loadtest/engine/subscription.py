"""A queue subscribed to on a connection of its own; only what is done is acknowledged."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any

from pamqp import commands

from loadtest.engine.consumption import IDLE_S
from loadtest.engine.deliveries import Deliveries, DeliveryReader
from loadtest.engine.frames import ack_upto
from loadtest.engine.opening import refuse_if_closed
from loadtest.engine.plan import Task
from loadtest.engine.wire import Link


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
        self.link.read()
        deliveries: list[Deliveries] = []
        for answer in self._reader.read(self.link.inbox):
            if isinstance(answer, Deliveries):
                deliveries.append(answer)
            else:
                refuse_if_closed(answer)
        return deliveries

    def done(self, deliveries: Deliveries) -> None:
        """These, and all before them, may be acknowledged."""
        self._unacked += deliveries.count
        self._last_tag = deliveries.last_tag

    def acknowledge(self, *, idle: bool) -> None:
        """Acknowledge everything that is done, if it is enough for one ack, or nothing more comes."""
        assert self.link is not None
        if self.link.pending or not self._unacked or (self._unacked < self._task.plan.ack_every and not idle):
            return
        self.link.send(ack_upto(self._last_tag))
        self._unacked = 0

    def lost(self) -> None:
        """The connection is of no use any more; what was not acknowledged on it will come again."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def close(self) -> None:
        """Acknowledge what is done, and go; the rest is the broker's again."""
        if self.link is not None:
            self.acknowledge(idle=True)
            self.link.close()
            self.link = None


def wait_for_any(subscriptions: Sequence[Subscription]) -> None:
    """Wait a moment, at most until something arrives for one of them."""
    sockets = [subscription.link.sock for subscription in subscriptions if subscription.link is not None]
    select.select(sockets, [], [], IDLE_S)
