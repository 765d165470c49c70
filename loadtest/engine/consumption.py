"""A consumer's account: what came, how often, in which order, and how long it took; the same for every client."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.engine.child import CpuClock, facts_of, tell, told_to_stop
from loadtest.engine.deliveries import Deliveries
from loadtest.engine.errors import LinkError
from loadtest.engine.histogram import Histogram
from loadtest.engine.ledger import Books
from loadtest.engine.plan import Task
from loadtest.engine.stamps import STAMP, Stamps

#: After so long without a message, what is not yet acknowledged is.
IDLE_S = 0.05
_TICK_S = 0.5
#: Messages that are written into the books together.
_BULK = 2048
#: Stamps, and when they came.
_Taken = tuple[Stamps, int | NDArray[np.int64]]


class Consumption:
    """Everything that one consumer writes down, whatever its client."""

    def __init__(self, task: Task) -> None:
        self.task, self.plan = task, task.plan
        self.books = Books(task.run)
        self.from_intended, self.from_sent = Histogram(), Histogram()
        self.counts = dict.fromkeys(("received", "redelivered", "corrupt", "foreign"), 0)
        self.errors: list[str] = []
        #: Seconds that were spent on the work for messages, and of these, waiting for the lock on what is shared.
        self.worked_s = self.waited_s = 0.0
        #: Messages that have come and whose work is not done.
        self.held = 0
        self._taken: defaultdict[str, list[_Taken]] = defaultdict(list)
        self._waiting = 0
        self._last_s = 0.0
        self._is_told_to_stop = False

    def begin(self, start_ns: int) -> None:
        """The load starts at this moment of `time.monotonic_ns`."""
        self._start_ns = start_ns
        self._warm_ns = start_ns + int(self.plan.warmup_s * 1e9)
        self._cpu, self._clock = CpuClock(), CpuClock()
        self._next_tick_s = time.monotonic() + _TICK_S
        self._heard_s = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether it was told to stop."""
        return self._is_told_to_stop

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come for a while: time to acknowledge the rest."""
        return time.monotonic() - self._heard_s > IDLE_S

    def take(self, deliveries: Deliveries, *, queue: str, at_ns: int | NDArray[np.int64] | None = None) -> None:
        """Take what has come; it is in the books when there is enough of it, or at the next `write`.

        Args:
            queue: from which it has come: order is promised within one.
            at_ns: when each of its stamps came; now, if it isn't told.
        """
        now_ns = time.monotonic_ns()
        self._heard_s, self._last_s = now_ns / 1e9, (now_ns - self._start_ns) / 1e9
        self._taken[queue].append((deliveries.stamps, now_ns if at_ns is None else at_ns))
        self._waiting += deliveries.count
        self.counts["redelivered"] += deliveries.redelivered
        self.counts["corrupt"] += deliveries.corrupt
        self.counts["foreign"] += deliveries.foreign
        if self._waiting >= _BULK:
            self.write()

    def write(self) -> None:
        """Put all that was taken into the books, together: that costs little more than each alone would."""
        for queue, taken in self._taken.items():
            self._write(queue, taken)
        self._taken.clear()
        self._waiting = 0

    def _write(self, queue: str, taken: list[_Taken]) -> None:
        stamps = np.frombuffer(b"".join(found.data for found, _ in taken), STAMP)
        came_ns = np.concatenate([np.full(len(found), at_ns) for found, at_ns in taken])
        ours = self.books.take(stamps, queue=queue)
        self.counts["received"] += int(np.count_nonzero(ours))
        warm = ours & (stamps["intended_ns"] >= self._warm_ns)
        self.from_intended.record((came_ns - stamps["intended_ns"])[warm])
        self.from_sent.record((came_ns - stamps["sent_ns"])[warm])

    def lost(self, error: LinkError) -> None:
        """A connection is lost: order is promised within one alone."""
        if str(error) not in self.errors[-1:]:
            self.errors.append(str(error))
        self.write()
        self.books.reconnected()

    def tick_if_due(self) -> None:
        """Tell how far we are, now and then, and hear whether it is enough."""
        if time.monotonic() >= self._next_tick_s:
            self._next_tick_s += _TICK_S
            self._tick()
            self._is_told_to_stop = told_to_stop()

    def end(self) -> None:
        """Leave the books in a file, and tell that it is done."""
        self._tick()
        received, cpu_s = self.books.received, self._cpu.used_s
        books: dict[str, Any] = {f"times_{number}": book.times for number, book in received.items()}
        np.savez(self.task.results, **books)
        tell(
            "done",
            cpu_s=cpu_s,
            errors=self.errors,
            strange=self.books.strange,
            out_of_order=sum(book.out_of_order for book in received.values()),
        )

    def _tick(self) -> None:
        self.write()
        tell(
            "tick",
            at_s=(time.monotonic_ns() - self._start_ns) / 1e9,
            last_s={"received": self._last_s},
            busy=self._clock.busy(),
            errors=len(self.errors),
            worked_s=self.worked_s,
            waited_s=self.waited_s,
            held=self.held,
            **self.counts,
            **facts_of(from_intended=self.from_intended, from_sent=self.from_sent),
        )
