"""One run from the first queue to the last count: processes started together, watched, drained, and compared.

Interrupted in the middle it keeps what there is, marked as partial; its queues are removed in any case.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from loadtest.engine.accounts import Accounts
from loadtest.engine.histogram import Histogram
from loadtest.engine.plan import Plan
from loadtest.engine.queues import Queues
from loadtest.engine.result import SAMPLE_S, Result, Sample
from loadtest.engine.team import Team
from loadtest.engine.verdict import Limit, limit_of
from loadtest.engine.workers import RunFailed

_HEAD_START_S = 0.3
_LOOK_S = 0.1
#: The same sum of deliveries for so long, with empty queues: nothing more will come.
_QUIET_S = 1.0
#: The same of a stream that has delivered less than was confirmed: something of it is missing.
_STREAM_QUIET_S = 5.0
#: After an interruption the broker has so long to deliver what it has; the rest counts as left.
_PARTIAL_DRAIN_S = 5.0

Watch = Callable[[Sample], None]
WatchLatencies = Callable[[dict[str, Histogram]], None]


def execute(
    plan: Plan,
    url: str,
    *,
    watch: Watch = lambda _: None,
    watch_latencies: WatchLatencies | None = None,
    scratch: Path | None = None,
) -> Result:
    """Do a run.

    Args:
        url: the broker.
        watch: called with each sample, twice a second.
        watch_latencies: called just before it with the four histograms of the run so far.
        scratch: where processes leave their books until the run is over; default: the system's folder for such files.

    Raises:
        RunFailed: it could not begin, or the broker refuses what is published.
        PlanError: the trace can't be read.
    """
    run = secrets.randbits(31)
    plan.moments()  # a bad trace is known before a queue is made
    with Queues(url, plan, run=run) as queues, tempfile.TemporaryDirectory(dir=scratch) as folder:
        team = Team(plan, url, run=run, queues=queues.names, folder=Path(folder))
        running = _Running(plan, team, queues, watch=watch, watch_latencies=watch_latencies)
        with team.ready():
            running.go()
        return running.result(run)


class _Running:
    def __init__(
        self, plan: Plan, team: Team, queues: Queues, *, watch: Watch, watch_latencies: WatchLatencies | None
    ) -> None:
        self._plan, self._team, self._queues = plan, team, queues
        self._watch, self._watch_latencies = watch, watch_latencies
        self._samples: list[Sample] = []
        self._partial = self._is_drained = False
        self._started_at = time.time()

    def go(self) -> None:
        """Load, drain, end."""
        start_ns = time.monotonic_ns() + int(_HEAD_START_S * 1e9)
        self._zero_s = start_ns / 1e9
        for worker in self._team.everybody:
            worker.start(start_ns)
        try:
            self._watch_until(self._is_published)
            self._refuse_if_refused()
            self._drain(self._plan.drain_s)
        except KeyboardInterrupt:
            self._cut_short()
        for worker in self._team.consumers:
            worker.stop()
        for worker in self._team.everybody:
            worker.end()
        self._left = self._count_left()

    def _is_published(self) -> bool:
        return not any(worker.is_running for worker in self._team.producers)

    def _refuse_if_refused(self) -> None:
        """A broker that took nothing gives no result; one that took some gives a part of it."""
        for worker in self._team.producers:
            reason = (worker.done or {}).get("refused")
            if reason and not worker.last.get("confirmed"):
                raise RunFailed(f"nothing could be published: {reason}")
            self._partial = self._partial or bool(reason)

    def _cut_short(self) -> None:
        """Interrupted: no more is published, and what is on its way arrives, so that the books can be compared."""
        self._partial = True
        for worker in self._team.producers:
            worker.stop()
        self._watch_until(self._is_published)
        self._drain(min(self._plan.drain_s, _PARTIAL_DRAIN_S))

    def _drain(self, timeout_s: float) -> None:
        """Until nothing more comes, or its time is over."""
        deadline = time.monotonic() + timeout_s
        quiet_since, samples, received = time.monotonic(), len(self._samples), -1
        ticks = self._team.consumer_ticks

        def is_done() -> bool:
            nonlocal quiet_since, samples, received, ticks
            if self._samples and self._samples[-1].received != received:
                received, quiet_since, samples = self._samples[-1].received, time.monotonic(), len(self._samples)
                ticks = self._team.consumer_ticks
            # This process may have stood still itself, or a consumer: only what it has seen twice since then, and each
            # of them has said twice, is quiet.
            told = all(now - before >= 2 for now, before in zip(self._team.consumer_ticks, ticks, strict=True))
            quiet_s = time.monotonic() - quiet_since if told and len(self._samples) - samples >= 2 else 0.0
            self._is_drained = bool(self._team.consumers) and quiet_s > _QUIET_S and self._is_empty(quiet_s)
            return not self._team.consumers or time.monotonic() > deadline or self._is_drained

        self._watch_until(is_done)

    def _count_left(self) -> int | None:
        """Messages in the queues; of a stream, which keeps all, none if it was read to its end, or it isn't known."""
        if self._plan.queue_type == "stream":
            return 0 if self._is_drained else None
        return self._queues.ready() or 0

    def _is_empty(self, quiet_s: float) -> bool:
        """Whether neither the broker nor a consumer has anything that is still to be done."""
        latest = self._samples[-1]
        if self._plan.queue_type == "stream":  # which keeps all that it was given, and doesn't tell who has read it
            return latest.received >= latest.confirmed or quiet_s > _STREAM_QUIET_S
        return latest.ready == 0 and self._team.held == 0

    def _watch_until(self, done: Callable[[], bool]) -> None:
        next_s = time.monotonic()
        while not done():
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + SAMPLE_S
                self._samples.append(self._sample())
                if self._watch_latencies is not None:
                    self._watch_latencies(self._team.histograms())
                self._watch(self._samples[-1])
            if not all(worker.is_running for worker in self._team.consumers):
                raise RunFailed("a consumer ended in the middle of the run")
            time.sleep(_LOOK_S)
        self._samples.append(self._sample())

    def _sample(self) -> Sample:
        return self._team.sample(at_s=time.monotonic() - self._zero_s, ready=self._queues.ready())

    def result(self, run: int) -> Result:
        """All books compared."""
        accounts, histograms = Accounts(self._plan, self._team), self._team.histograms()
        expected = accounts.expected(from_ns=(self._zero_s + self._plan.warmup_s) * 1e9)
        result = Result(
            plan=self._plan,
            run=run,
            started_at=self._started_at,
            integrity=accounts.integrity(left=self._left),
            histograms=histograms,
            censored=max(0, expected - histograms["from_intended"].count) if self._plan.consumers else 0,
            samples=self._samples,
            limit=Limit("unknown", "not looked at yet"),
            series=self._team.series,
            zero_s=self._zero_s,
            load_s=self._team.load_s,
            sent=accounts.sent,
            cpu_s=self._team.cpu_s,
            errors=self._team.errors,
            partial=self._partial,
        )
        result.limit = limit_of(result)
        return result
