"""Consumes what a run has published: every message is looked at, counted, and acknowledged after that."""

from __future__ import annotations

import time

from loadtest.engine.clients import RECONNECT_S, consume
from loadtest.engine.consumption import Consumption
from loadtest.engine.deliveries import Deliveries
from loadtest.engine.errors import LinkError
from loadtest.engine.plan import Task
from loadtest.engine.subscription import Subscription, wait_for_any
from loadtest.engine.working import Working

#: More messages than this in one look: for some time each look may wait a little, and will find as many.
_MANY = 8
_BUSY_S = 0.01
#: It waits for a small share of the time that messages take anyway, within these bounds.
_SHARE_OF_AGE = 0.1
_LEAST_GATHER_S, _MOST_GATHER_S = 0.0005, 0.002


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
        idle, count, newest = self._account.is_idle, 0, None
        for subscription in self._subscriptions:
            try:
                if subscription.link is None:
                    subscription.connect()
                for deliveries in subscription.read():
                    count += deliveries.count
                    self._account.take(deliveries, queue=subscription.queue)
                    subscription.done(deliveries)
                    newest = deliveries
                subscription.acknowledge(idle=idle)
            except LinkError as error:
                subscription.lost()
                self._account.lost(error)
                time.sleep(RECONNECT_S)
        self._gather(count, newest)
        wait_for_any(self._subscriptions)

    def disconnect(self) -> None:
        for subscription in self._subscriptions:
            try:
                subscription.close()
            except LinkError as error:
                self._account.lost(error)

    def _gather(self, count: int, newest: Deliveries | None) -> None:
        """While messages come in plenty, let some come together."""
        now_s = time.monotonic()
        if count > _MANY:
            self._busy_until_s = now_s + _BUSY_S
        if now_s < self._busy_until_s and newest is not None and len(newest.stamps):
            age_s = now_s - float(newest.stamps["sent_ns"][-1]) / 1e9
            time.sleep(min(_MOST_GATHER_S, max(_LEAST_GATHER_S, _SHARE_OF_AGE * age_s)))


def main(task: Task) -> None:
    """Run one consumer, and leave its books in a file."""
    account = Consumption(task)
    consume(account, Working(account) if task.plan.work_ms else Consuming(account))
