"""Consumes what a run has published: every message is looked at, counted, and acknowledged after that."""

from __future__ import annotations

import select
import sys
import time
from typing import Any

import numpy as np
from pamqp import commands

from loadtest.engine.child import CpuClock, facts_of, tell, told_to_stop, wait_for_start
from loadtest.engine.deliveries import Deliveries, DeliveryReader
from loadtest.engine.frames import marshalled
from loadtest.engine.histogram import Histogram
from loadtest.engine.ledger import Books
from loadtest.engine.plan import Task
from loadtest.engine.publisher import GATHER_S
from loadtest.engine.wire import Link, LinkError, refuse_if_closed

_TICK_S = 0.5
_RECONNECT_S = 0.2
#: After so long without a message, what is not yet acknowledged is.
_IDLE_S = 0.05
#: More messages than this in one look: the next look may wait a little, and will find as many.
_MANY = 8


class Subscription:
    """One queue on one connection."""

    def __init__(self, task: Task, queue: str) -> None:
        self._task, self._queue = task, queue
        self.link: Link | None = None
        self._unacked = 0
        self._last_tag = 0

    def connect(self) -> None:
        """Open the connection and subscribe.

        Raises:
            LinkError: the broker doesn't answer, or refuses.
        """
        plan = self._task.plan
        link = Link.open(self._task.url, name=f"load consumer {self._task.number} of {self._queue}")
        link.call(commands.Basic.Qos(prefetch_count=plan.prefetch), commands.Basic.QosOk)
        arguments: dict[str, Any] = {"x-stream-offset": "first"} if plan.queue_type == "stream" else {}
        subscribe = commands.Basic.Consume(queue=self._queue, consumer_tag="load", arguments=arguments)
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
    """One consumer process at work, with a connection for each of its queues."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.subscriptions = [Subscription(task, queue) for queue in task.queues]
        self.books = Books(task.run)
        self.from_intended, self.from_sent = Histogram(), Histogram()
        self.counts = dict.fromkeys(("received", "redelivered", "corrupt", "foreign"), 0)
        self.errors: list[str] = []
        self._last_s = 0.0

    def run(self, start_ns: int) -> None:
        """Consume until told to stop."""
        self._start_ns = start_ns
        self._warm_ns = start_ns + int(self._task.plan.warmup_s * 1e9)
        clock, next_tick_s, heard_at = CpuClock(), time.monotonic() + _TICK_S, time.monotonic()
        while True:
            count = self._look(idle=time.monotonic() - heard_at > _IDLE_S)
            now = time.monotonic()
            if count:
                heard_at = now
            if now >= next_tick_s:
                next_tick_s += _TICK_S
                self._tick(clock)
                if told_to_stop():
                    break
            self._wait(many=count > _MANY)
        self._tick(clock)
        for subscription in self.subscriptions:
            subscription.close()

    def _look(self, *, idle: bool) -> int:
        count = 0
        for subscription in self.subscriptions:
            try:
                if subscription.link is None:
                    subscription.connect()
                for deliveries in subscription.read():
                    count += deliveries.count
                    self._take(deliveries)
                subscription.acknowledge(idle=idle)
            except LinkError as error:
                self._lost(subscription, error)
        return count

    def _wait(self, *, many: bool) -> None:
        if many:
            time.sleep(GATHER_S)
            return
        sockets = [subscription.link.sock for subscription in self.subscriptions if subscription.link is not None]
        select.select(sockets, [], [], _IDLE_S)

    def _take(self, deliveries: Deliveries) -> None:
        now_ns = time.monotonic_ns()
        ours = self.books.take(deliveries.stamps)
        self._last_s = (now_ns - self._start_ns) / 1e9
        self.counts["received"] += len(ours)
        self.counts["redelivered"] += deliveries.redelivered
        self.counts["corrupt"] += deliveries.corrupt
        self.counts["foreign"] += deliveries.foreign
        warm = ours[ours["intended_ns"] >= self._warm_ns]
        self.from_intended.record(now_ns - warm["intended_ns"])
        self.from_sent.record(now_ns - warm["sent_ns"])

    def _lost(self, subscription: Subscription, error: LinkError) -> None:
        if str(error) not in self.errors[-1:]:
            self.errors.append(str(error))
        if subscription.link is not None:
            subscription.link.close()
            subscription.link = None
        self.books.reconnected()
        time.sleep(_RECONNECT_S)

    def _tick(self, clock: CpuClock) -> None:
        tell(
            "tick",
            at_s=(time.monotonic_ns() - self._start_ns) / 1e9,
            last_s=self._last_s,
            busy=clock.busy(),
            errors=len(self.errors),
            **self.counts,
            **facts_of(from_intended=self.from_intended, from_sent=self.from_sent),
        )


def main(task: Task) -> None:
    """Run one consumer, and leave its books in a file."""
    consuming = Consuming(task)
    try:
        for subscription in consuming.subscriptions:
            subscription.connect()
    except LinkError as error:
        tell("failed", reason=str(error))
        sys.exit(1)
    start_ns = wait_for_start()
    cpu = CpuClock()
    consuming.run(start_ns)
    received = consuming.books.received
    books: dict[str, Any] = {f"times_{number}": book.times for number, book in received.items()}
    np.savez(task.results, **books)
    tell(
        "done",
        cpu_s=cpu.used_s,
        errors=consuming.errors,
        strange=consuming.books.strange,
        out_of_order=sum(book.out_of_order for book in received.values()),
    )
