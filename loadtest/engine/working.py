"""A consumer that works: one message after the other, each done before it counts as received and is acknowledged.

What waits in it while it works is the broker's again when the connection is lost, or when it is told to stop.
"""

from __future__ import annotations

import fcntl
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from loadtest.engine.clients import RECONNECT_S
from loadtest.engine.consumption import Consumption
from loadtest.engine.deliveries import Deliveries
from loadtest.engine.errors import LinkError
from loadtest.engine.subscription import Subscription, wait_for_any

#: However long a message takes, so often a worker tells how far it is.
_SLICE_S = 0.1


class Labour:
    """The work for a message: time passes, a part of it under the lock on what all consumers of the run share."""

    def __init__(self, account: Consumption) -> None:
        plan, task = account.plan, account.task
        self._account = account
        self._alone_s, self._shared_s = (plan.work_ms - plan.shared_ms) / 1000, plan.shared_ms / 1000
        self._is_random = plan.work == "exponential"
        self._random = np.random.default_rng([plan.seed, task.number])
        self._lock = Path(task.results).with_name("shared").open("wb") if plan.shared_ms else None

    def do(self) -> None:
        """Work for one message."""
        factor = float(self._random.exponential()) if self._is_random else 1.0
        self._pass(self._alone_s * factor)
        if self._lock is not None:
            with self._locked(self._lock.fileno()):
                self._pass(self._shared_s * factor)

    @contextmanager
    def _locked(self, file: int) -> Iterator[None]:
        began_s = time.monotonic()
        fcntl.flock(file, fcntl.LOCK_EX)
        waited_s = time.monotonic() - began_s
        self._account.worked_s += waited_s
        self._account.waited_s += waited_s
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _pass(self, seconds: float) -> None:
        """Let time pass; the parent hears of it meanwhile."""
        now_s = time.monotonic()
        until_s = now_s + seconds
        while now_s < until_s:
            time.sleep(min(until_s - now_s, _SLICE_S))
            before_s, now_s = now_s, time.monotonic()
            self._account.worked_s += now_s - before_s
            self._account.tick_if_due()


class Working:
    """The engine's consumer for messages that take time, with a connection for each of its queues."""

    def __init__(self, account: Consumption) -> None:
        self._account = account
        self._labour = Labour(account)
        self._subscriptions = [Subscription(account.task, queue) for queue in account.task.queues]
        self._waiting: deque[tuple[Subscription, Deliveries]] = deque()

    def connect(self) -> None:
        for subscription in self._subscriptions:
            subscription.connect()

    def step(self) -> None:
        for subscription in self._subscriptions:
            try:
                if subscription.link is None:
                    subscription.connect()
                for deliveries in subscription.read():
                    self._waiting.extend((subscription, each) for each in one_by_one(deliveries))
            except LinkError as error:
                self._lost(subscription, error)
        self._account.held = len(self._waiting)
        if self._waiting:
            self._do(*self._waiting[0])
        else:
            self._acknowledge_rest()
            wait_for_any(self._subscriptions)

    def disconnect(self) -> None:
        for subscription in self._subscriptions:
            try:
                subscription.close()
            except LinkError as error:
                self._account.lost(error)

    def _do(self, subscription: Subscription, message: Deliveries) -> None:
        self._labour.do()
        self._waiting.popleft()
        self._account.held = len(self._waiting)
        self._account.take(message, queue=subscription.queue)
        subscription.done(message)
        self._acknowledge(subscription, idle=False)

    def _acknowledge_rest(self) -> None:
        if self._account.is_idle:
            for subscription in self._subscriptions:
                self._acknowledge(subscription, idle=True)

    def _acknowledge(self, subscription: Subscription, *, idle: bool) -> None:
        if subscription.link is None:
            return
        try:
            subscription.acknowledge(idle=idle)
        except LinkError as error:
            self._lost(subscription, error)

    def _lost(self, subscription: Subscription, error: LinkError) -> None:
        """Its tags are gone, and what waited with them: the broker delivers it again, to whomever."""
        subscription.lost()
        self._waiting = deque(each for each in self._waiting if each[0] is not subscription)
        self._account.lost(error)
        time.sleep(RECONNECT_S)


def one_by_one(deliveries: Deliveries) -> Iterator[Deliveries]:
    """Each message of several alone; but those with damaged ones among them together: which is which isn't known."""
    count = deliveries.count
    if len(deliveries.stamps) != count:
        yield deliveries
        return
    for number in range(count):
        yield Deliveries(
            deliveries.stamps[number : number + 1],
            deliveries.last_tag - (count - 1 - number),
            1,
            redelivered=deliveries.redelivered if number == 0 else 0,
        )
