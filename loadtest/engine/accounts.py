"""The books that the processes of a run have left, put together and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from loadtest.engine.integrity import Integrity, SentBooks, compare
from loadtest.engine.ledger import Outcome
from loadtest.engine.plan import Plan
from loadtest.engine.team import Team
from loadtest.engine.workers import Worker

_COUNTED = ("corrupt", "foreign", "redelivered")
_COUNTED_AT_THE_END = ("strange", "out_of_order")


class Accounts:
    """All books of a run that is over; those of a process that was killed are empty."""

    def __init__(self, plan: Plan, team: Team) -> None:
        self._plan, self._team = plan, team
        #: By producer.
        self.sent: SentBooks = {worker.task.number: _books(worker) for worker in team.producers}
        self._received: dict[int, Any] = {}
        for worker in team.consumers:
            for name, times in _books(worker).items():
                _add(self._received, int(name.removeprefix("times_")), times)

    def integrity(self, *, left: int | None) -> Integrity:
        """What became of all messages.

        Args:
            left: messages in the queues; None: more than none, and how many isn't known.
        """
        producers, consumers = self._team.producers, self._team.consumers
        counted = {name: sum(worker.last.get(name, 0) for worker in consumers) for name in _COUNTED}
        ended = [worker.done or {} for worker in consumers]
        counted |= {name: sum(done.get(name, 0) for done in ended) for name in _COUNTED_AT_THE_END}
        offered = sum((worker.done or {}).get("offered", worker.last.get("sent", 0)) for worker in producers)
        confirms = self._plan.window > 0
        return compare(self.sent, self._received, offered=offered, left=left, confirms=confirms, **counted)

    def expected(self, *, from_ns: float) -> int:
        """Messages that were meant to go at that moment or later, and should have come."""
        return sum(
            int(np.count_nonzero((books["intended_ns"] >= from_ns) & (books["outcome"] != Outcome.RETURNED)))
            for books in self.sent.values()
        )


def _books(worker: Worker) -> dict[str, Any]:
    path = Path(worker.task.results)
    if not path.exists():  # it was killed before it could write them
        return {} if worker.kind == "consume" else {"outcome": np.zeros(0, np.uint8), "intended_ns": np.zeros(0)}
    with np.load(path) as books:
        return dict(books)


def _add(received: dict[int, Any], producer: int, times: Any) -> None:
    """Several consumers may have had messages of one producer."""
    before = received.get(producer, np.zeros(0, np.int64))
    total = np.zeros(max(len(before), len(times)), np.int64)
    total[: len(before)] += before
    total[: len(times)] += times
    received[producer] = total
