"""One run from the first queue to the last count: processes started together, watched, drained, and compared.

Interrupted in the middle it keeps what there is, marked as partial; its queues are removed in any case.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.engine.histogram import Histogram, merged
from loadtest.engine.integrity import Integrity, SentBooks, compare
from loadtest.engine.ledger import Outcome
from loadtest.engine.plan import Plan, Task, dealt
from loadtest.engine.queues import Queues
from loadtest.engine.series import Series, rate
from loadtest.engine.verdict import Limit, limit_of
from loadtest.engine.workers import RunFailed, Worker

_HEAD_START_S = 0.3
_LOOK_S = 0.1
_SAMPLE_S = 0.5
#: The same sum of deliveries for so long, with empty queues: nothing more will come.
_QUIET_S = 1.0
#: After an interruption the broker has so long to deliver what it has; the rest counts as left.
_PARTIAL_DRAIN_S = 5.0
HISTOGRAMS = ("send_delay", "confirm", "from_intended", "from_sent")
_COUNTED = ("corrupt", "foreign", "redelivered")


@dataclass(frozen=True)
class Sample:
    """The whole run at one moment; counts are totals since its start."""

    at_s: float
    due: int
    sent: int
    confirmed: int
    received: int
    outstanding: int
    ready: int | None
    producer_busy: float
    consumer_busy: float
    blocked_s: float

    @property
    def backlog(self) -> int:
        """Sent and not yet received."""
        return self.sent - self.received


@dataclass
class Result:
    """What a run gave.

    Args:
        partial: it was interrupted.
        errors: of connections, in the words of the broker or the network.
        cpu_s: CPU seconds of producers and consumers.
        series: what the processes have told, over time.
        zero_s: the moment of the start, of `time.monotonic`.
        sent: of each producer the books of all its messages: `intended_ns`, `sent_ns`, `outcome`.
    """

    plan: Plan
    run: int
    started_at: float
    integrity: Integrity
    histograms: dict[str, Histogram]
    censored: int
    samples: list[Sample]
    limit: Limit
    cpu_s: dict[str, float]
    series: Series
    zero_s: float
    sent: SentBooks = field(repr=False)
    errors: list[str] = field(default_factory=list)
    partial: bool = False

    @property
    def load(self) -> list[Sample]:
        """The samples of the load without the warm-up."""
        start_s, end_s = self.span_s
        found = [sample for sample in self.samples if start_s <= sample.at_s <= end_s]
        return found or self.samples

    @property
    def span_s(self) -> tuple[float, float]:
        """Where the load begins, after the warm-up, and where it ends, in seconds since the start.

        The last half second is left out: that the load ends in it is seen no more exactly than a process tells.
        """
        end_s = min(self.plan.duration_s, self.series.end_s)
        start_s = min(self.plan.warmup_s, end_s)
        return start_s, max(end_s - _SAMPLE_S, (start_s + end_s) / 2)

    def rate(self, name: str) -> float:
        """Messages per second over the load without the warm-up, of `due`, `sent`, `confirmed` or `received`."""
        start_s, end_s = self.span_s
        return rate(self.series.total(name, np.array([start_s, end_s])), end_s - start_s)

    def quantile_ms(self, name: str, quantile: float) -> float:
        """Of one of the four histograms; a message that was never delivered took longer than any."""
        censored = self.censored if name in ("from_intended", "from_sent") else 0
        return self.histograms[name].quantile_ms(quantile, censored=censored)


Watch = Callable[[Sample], None]
WatchLatencies = Callable[[dict[str, Histogram]], None]


def execute(
    plan: Plan, url: str, *, watch: Watch = lambda _: None, watch_latencies: WatchLatencies | None = None
) -> Result:
    """Do a run.

    Args:
        url: the broker.
        watch: called with each sample, twice a second.
        watch_latencies: called just before it with the four histograms of the run so far.

    Raises:
        RunFailed: it could not begin, or the broker refuses what is published.
        PlanError: the trace can't be read.
    """
    run = secrets.randbits(31)
    plan.moments()  # a bad trace is known before a queue is made
    with Queues(url, plan, run=run) as queues, tempfile.TemporaryDirectory() as folder:
        running = _Running(plan, url, run=run, queues=queues, folder=Path(folder))
        running.watch, running.watch_latencies = watch, watch_latencies
        with running.processes():
            running.go()
        return running.result()


class _Running:
    watch: Watch
    watch_latencies: WatchLatencies | None

    def __init__(self, plan: Plan, url: str, *, run: int, queues: Queues, folder: Path) -> None:
        self._plan, self._url, self._run, self._queues = plan, url, run, queues
        self._folder = folder
        self._producers: list[Worker] = []
        self._consumers: list[Worker] = []
        self._samples: list[Sample] = []
        self._partial = False
        self._started_at = time.time()

    @contextlib.contextmanager
    def processes(self) -> Iterator[None]:
        """Producers and consumers, connected; all gone afterwards."""
        try:
            self._consumers = [self._worker("consume", number) for number in range(self._plan.consumers)]
            self._producers = [self._worker("produce", number) for number in range(self._plan.producers)]
            for worker in self._all:
                worker.wait_ready()
            yield
        finally:
            for worker in self._all:
                worker.kill()

    @property
    def _all(self) -> list[Worker]:
        return [*self._producers, *self._consumers]

    def _worker(self, kind: Any, number: int) -> Worker:
        of = self._plan.producers if kind == "produce" else self._plan.consumers
        task = Task(
            plan=self._plan,
            url=self._url,
            run=self._run,
            number=number,
            queues=dealt(self._queues.names, number=number, of=of),
            results=str(self._folder / f"{kind}-{number}.npz"),
        )
        return Worker(kind, task)

    def go(self) -> None:
        """Load, drain, end."""
        start_ns = time.monotonic_ns() + int(_HEAD_START_S * 1e9)
        self._zero_s = start_ns / 1e9
        for worker in self._all:
            worker.start(start_ns)
        try:
            self._watch_until(self._is_published)
            self._refuse_if_refused()
            self._drain(self._plan.drain_s)
        except KeyboardInterrupt:
            self._cut_short()
        for worker in self._consumers:
            worker.stop()
        for worker in self._all:
            worker.end()
        self._left = 0 if self._plan.queue_type == "stream" else (self._queues.ready() or 0)

    def _is_published(self) -> bool:
        return not any(worker.is_running for worker in self._producers)

    def _refuse_if_refused(self) -> None:
        """A broker that took nothing gives no result; one that took some gives a part of it."""
        for worker in self._producers:
            reason = (worker.done or {}).get("refused")
            if reason and not worker.last.get("confirmed"):
                raise RunFailed(f"nothing could be published: {reason}")
            self._partial = self._partial or bool(reason)

    def _cut_short(self) -> None:
        """Interrupted: no more is published, and what is on its way arrives, so that the books can be compared."""
        self._partial = True
        for worker in self._producers:
            worker.stop()
        self._watch_until(self._is_published)
        self._drain(min(self._plan.drain_s, _PARTIAL_DRAIN_S))

    def _drain(self, timeout_s: float) -> None:
        """Until nothing more comes, or its time is over."""
        deadline = time.monotonic() + timeout_s
        quiet_since, received = time.monotonic(), -1

        def is_done() -> bool:
            nonlocal quiet_since, received
            if self._samples and self._samples[-1].received != received:
                received, quiet_since = self._samples[-1].received, time.monotonic()
            is_quiet = time.monotonic() - quiet_since > _QUIET_S
            return not self._consumers or time.monotonic() > deadline or (is_quiet and self._is_empty())

        self._watch_until(is_done)

    def _is_empty(self) -> bool:
        """Whether neither the broker nor a consumer has anything that is still to be done."""
        held = sum(worker.last.get("held", 0) for worker in self._consumers)
        return self._plan.queue_type == "stream" or (self._samples[-1].ready == 0 and held == 0)

    def _watch_until(self, done: Callable[[], bool]) -> None:
        next_s = time.monotonic()
        while not done():
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + _SAMPLE_S
                self._samples.append(self._sample())
                if self.watch_latencies is not None:
                    self.watch_latencies(self._histograms())
                self.watch(self._samples[-1])
            if not all(worker.is_running for worker in self._consumers):
                raise RunFailed("a consumer ended in the middle of the run")
            time.sleep(_LOOK_S)
        self._samples.append(self._sample())

    def _sample(self) -> Sample:
        def total(workers: list[Worker], name: str) -> Any:
            return sum(worker.last.get(name, 0) for worker in workers)

        def most(workers: list[Worker], name: str) -> float:
            return max((float(worker.last.get(name, 0)) for worker in workers), default=0.0)

        return Sample(
            at_s=time.monotonic() - self._zero_s,
            due=total(self._producers, "due"),
            sent=total(self._producers, "sent"),
            confirmed=total(self._producers, "confirmed"),
            received=total(self._consumers, "received"),
            outstanding=total(self._producers, "outstanding"),
            ready=self._queues.ready(),
            producer_busy=most(self._producers, "busy"),
            consumer_busy=most(self._consumers, "busy"),
            blocked_s=most(self._producers, "blocked_s"),
        )

    def result(self) -> Result:
        """All books compared."""
        integrity = self._integrity()
        histograms = self._histograms()
        result = Result(
            plan=self._plan,
            run=self._run,
            started_at=self._started_at,
            integrity=integrity,
            histograms=histograms,
            censored=max(0, self._warm_count() - histograms["from_intended"].count) if self._consumers else 0,
            samples=self._samples,
            limit=Limit("unknown", "not looked at yet"),
            series=Series(tuple(w.ticks for w in self._producers), tuple(w.ticks for w in self._consumers)),
            zero_s=self._zero_s,
            sent=self._sent,
            cpu_s={"publishing": self._cpu_s(self._producers), "consuming": self._cpu_s(self._consumers)},
            errors=[error for worker in self._all for error in (worker.done or {}).get("errors", ["was killed"])],
            partial=self._partial,
        )
        result.limit = limit_of(result)
        return result

    def _integrity(self) -> Integrity:
        sent = {worker.task.number: self._books(worker) for worker in self._producers}
        received: dict[int, Any] = {}
        for worker in self._consumers:
            for name, times in self._books(worker).items():
                _add(received, int(name.removeprefix("times_")), times)
        counted = {name: sum(worker.last.get(name, 0) for worker in self._consumers) for name in _COUNTED}
        ended = [worker.done or {} for worker in self._consumers]
        counted |= {name: sum(done.get(name, 0) for done in ended) for name in ("strange", "out_of_order")}
        offered = sum((worker.done or {}).get("offered", worker.last.get("sent", 0)) for worker in self._producers)
        self._sent = sent
        confirms = self._plan.window > 0
        return compare(sent, received, offered=offered, left=self._left, confirms=confirms, **counted)

    def _books(self, worker: Worker) -> dict[str, Any]:
        path = Path(worker.task.results)
        if not path.exists():  # it was killed before it could write them
            return {} if worker.kind == "consume" else {"outcome": np.zeros(0, np.uint8), "intended_ns": np.zeros(0)}
        with np.load(path) as books:
            return dict(books)

    def _warm_count(self) -> int:
        """Messages of the load proper that should have come."""
        warm_ns = (self._zero_s + self._plan.warmup_s) * 1e9
        return sum(
            int(np.count_nonzero((books["intended_ns"] >= warm_ns) & (books["outcome"] != Outcome.RETURNED)))
            for books in self._sent.values()
        )

    def _histograms(self) -> dict[str, Histogram]:
        return {name: self._histogram(name) for name in HISTOGRAMS}

    def _histogram(self, name: str) -> Histogram:
        stored = [worker.last[name] for worker in self._all if name in worker.last]
        return merged(Histogram.from_sparse(each) for each in stored)

    @staticmethod
    def _cpu_s(workers: list[Worker]) -> float:
        return float(sum((worker.done or {}).get("cpu_s", 0.0) for worker in workers))


def _add(received: dict[int, Any], producer: int, times: Any) -> None:
    """Several consumers may have had messages of one producer."""
    before = received.get(producer, np.zeros(0, np.int64))
    total = np.zeros(max(len(before), len(times)), np.int64)
    total[: len(before)] += before
    total[: len(times)] += times
    received[producer] = total
