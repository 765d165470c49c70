"""What a run gives: its moments while it lasts, and all of it at its end."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from loadtest.engine.histogram import Histogram
from loadtest.engine.integrity import Integrity, SentBooks
from loadtest.engine.plan import Plan
from loadtest.engine.series import Series, rate
from loadtest.engine.verdict import Limit

#: Seconds from one sample to the next.
SAMPLE_S = 0.5


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
        load_s: seconds of load that there were: less than planned if it was cut short.
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
    load_s: float
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

        The last half second is left out: the last message comes before the time for one more is over.
        """
        start_s = min(self.plan.warmup_s, self.load_s)
        return start_s, max(self.load_s - SAMPLE_S, (start_s + self.load_s) / 2)

    def rate(self, name: str) -> float:
        """Messages per second over the load without the warm-up, of `due`, `sent`, `confirmed` or `received`."""
        start_s, end_s = self.span_s
        return rate(self.series.total(name, np.array([start_s, end_s])), end_s - start_s)

    def quantile_ms(self, name: str, quantile: float) -> float:
        """Of one of the four histograms; a message that was never delivered took longer than any."""
        censored = self.censored if name in ("from_intended", "from_sent") else 0
        return self.histograms[name].quantile_ms(quantile, censored=censored)
