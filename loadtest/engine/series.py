"""What the processes of a run have told, put on one clock: each by its own moments, so that sums and rates are exact.

A process tells its totals twice a second, at moments of its own. Between them totals are taken as straight lines,
up to the moment of the last message: a process tells that, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.engine.histogram import Histogram, merged

Floats = NDArray[np.float64]
#: What one process has told, in order.
Ticks = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Series:
    """The ticks of all processes of a run."""

    producers: tuple[Ticks, ...]
    consumers: tuple[Ticks, ...]

    def total(self, name: str, at_s: Floats) -> Floats:
        """A total over all processes at these seconds since the start: `due`, `sent`, `confirmed`, `received`..."""
        processes = [ticks for ticks in (*self.producers, *self.consumers) if ticks and name in ticks[0]]
        total = np.zeros(len(at_s))
        for ticks in processes:
            total += _at(ticks, name, at_s)
        return total

    def backlog(self, at_s: Floats) -> Floats:
        """Sent and not yet received."""
        return np.asarray(np.maximum(self.total("sent", at_s) - self.total("received", at_s), 0))

    def busiest(self, kind: str, at_s: Floats) -> Floats:
        """The largest share of a core that any producer or consumer used around these seconds."""
        processes = [ticks for ticks in getattr(self, kind) if ticks]
        if not processes:
            return np.zeros(len(at_s))
        shares = [np.interp(at_s, _moments(ticks), [tick["busy"] for tick in ticks]) for ticks in processes]
        return np.asarray(np.max(shares, axis=0))

    def within(self, name: str, start_s: float, end_s: float) -> Histogram:
        """What a histogram has gained between the ticks nearest to two moments, over all processes."""
        every = [ticks for ticks in (*self.producers, *self.consumers) if ticks and name in ticks[0]]
        return merged(_gained(ticks, name, start_s, end_s) for ticks in every)

    @property
    def end_s(self) -> float:
        """The last moment of which anything is known."""
        return max((float(ticks[-1]["at_s"]) for ticks in (*self.producers, *self.consumers) if ticks), default=0.0)


def _moments(ticks: Ticks) -> list[float]:
    return [float(tick["at_s"]) for tick in ticks]


def _at(ticks: Ticks, name: str, at_s: Floats) -> Floats:
    moments, values = [0.0], [0.0]
    for tick in ticks:
        corner_s = float(tick.get("last_s", {}).get(name, tick["at_s"]))
        if moments[-1] < corner_s < float(tick["at_s"]):
            moments.append(corner_s)
            values.append(float(tick[name]))
        moments.append(float(tick["at_s"]))
        values.append(float(tick[name]))
    return np.interp(at_s, moments, values)


def _gained(ticks: Ticks, name: str, start_s: float, end_s: float) -> Histogram:
    moments = np.array([0.0, *_moments(ticks)])
    first, last = (int(np.abs(moments - moment).argmin()) for moment in (start_s, end_s))
    gained = Histogram()
    if last == 0:
        return gained
    after = Histogram.from_sparse(ticks[last - 1][name])
    before = Histogram.from_sparse(ticks[first - 1][name]) if first else Histogram()
    gained.counts = after.counts - before.counts
    gained.total_ns = after.total_ns - before.total_ns
    # Of a part of a run only the buckets are known, not the exact extremes.
    gained.least_ns, gained.most_ns = after.least_ns, after.most_ns
    return gained


def rate(totals: Iterable[float], length_s: float) -> float:
    """Messages per second between two totals."""
    first, last = totals
    return float((last - first) / max(length_s, 1e-9))
