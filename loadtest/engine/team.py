"""Producers and consumers of a run, and what they have told so far, all of them together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from loadtest.engine.histogram import Histogram, merged
from loadtest.engine.plan import Plan, Task, dealt
from loadtest.engine.result import Sample
from loadtest.engine.series import Series
from loadtest.engine.workers import Worker

HISTOGRAMS = ("send_delay", "confirm", "from_intended", "from_sent")


class Team:
    """The processes of a run.

    Args:
        run: its number.
        queues: names of those that they share.
        folder: where they leave their books.
    """

    def __init__(self, plan: Plan, url: str, *, run: int, queues: list[str], folder: Path) -> None:
        self._plan, self._url, self._run, self._queues, self._folder = plan, url, run, queues, folder
        self.producers: list[Worker] = []
        self.consumers: list[Worker] = []

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """All of them connected; all gone afterwards.

        Raises:
            RunFailed: one of them could not begin.
        """
        try:
            self.consumers = [self._worker("consume", number) for number in range(self._plan.consumers)]
            self.producers = [self._worker("produce", number) for number in range(self._plan.producers)]
            for worker in self.everybody:
                worker.wait_ready()
            yield
        finally:
            for worker in self.everybody:
                worker.kill()

    @property
    def everybody(self) -> list[Worker]:
        return [*self.producers, *self.consumers]

    def _worker(self, kind: Literal["produce", "consume"], number: int) -> Worker:
        of = self._plan.producers if kind == "produce" else self._plan.consumers
        task = Task(
            plan=self._plan,
            url=self._url,
            run=self._run,
            number=number,
            queues=dealt(self._queues, number=number, of=of),
            results=str(self._folder / f"{kind}-{number}.npz"),
        )
        return Worker(kind, task)

    def sample(self, *, at_s: float, ready: int | None) -> Sample:
        """What all have told by now.

        Args:
            at_s: seconds since the start.
            ready: messages in the queues.
        """
        return Sample(
            at_s=at_s,
            due=_total(self.producers, "due"),
            sent=_total(self.producers, "sent"),
            confirmed=_total(self.producers, "confirmed"),
            received=_total(self.consumers, "received"),
            outstanding=_total(self.producers, "outstanding"),
            ready=ready,
            producer_busy=_most(self.producers, "busy"),
            consumer_busy=_most(self.consumers, "busy"),
            blocked_s=_most(self.producers, "blocked_s"),
        )

    @property
    def consumer_ticks(self) -> list[int]:
        """How often each consumer has told how far it is."""
        return [len(each.ticks) for each in self.consumers]

    @property
    def held(self) -> int:
        """Messages that consumers have and whose work is not done."""
        return _total(self.consumers, "held")

    @property
    def series(self) -> Series:
        """All that was told, over time."""
        return Series(tuple(each.ticks for each in self.producers), tuple(each.ticks for each in self.consumers))

    def histograms(self) -> dict[str, Histogram]:
        """The four latencies by now."""
        return {name: self._histogram(name) for name in HISTOGRAMS}

    def _histogram(self, name: str) -> Histogram:
        stored = [worker.last[name] for worker in self.everybody if name in worker.last]
        return merged(Histogram.from_sparse(each) for each in stored)

    @property
    def load_s(self) -> float:
        """How long there was load; of a producer that was killed, as far as is known."""
        told = [(worker.done or {}).get("load_s", worker.last.get("at_s", 0.0)) for worker in self.producers]
        return float(max(told, default=0.0))

    @property
    def cpu_s(self) -> dict[str, float]:
        """CPU seconds of producers and of consumers."""
        return {"publishing": _cpu_s(self.producers), "consuming": _cpu_s(self.consumers)}

    @property
    def errors(self) -> list[str]:
        """Of all connections; a process without an end was killed."""
        return [error for worker in self.everybody for error in (worker.done or {}).get("errors", ["was killed"])]


def _total(workers: list[Worker], name: str) -> int:
    return sum(int(worker.last.get(name, 0)) for worker in workers)


def _most(workers: list[Worker], name: str) -> float:
    return max((float(worker.last.get(name, 0)) for worker in workers), default=0.0)


def _cpu_s(workers: list[Worker]) -> float:
    return float(sum((worker.done or {}).get("cpu_s", 0.0) for worker in workers))
