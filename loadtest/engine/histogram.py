"""Latencies counted in buckets whose width grows with the value: any quantile is within 1 %, any two merge exactly.

Values are whole nanoseconds. Buckets are those of an HDR histogram with 64 steps for each power of two: a bucket is
at most 1/64 of its values wide, and its middle is reported, so that the error is at most 1/128.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_STEPS = 64
_STEP_BITS = 6
#: Up to 2^47 ns, which is 39 hours.
_POWERS = 47
BUCKETS = (_POWERS - _STEP_BITS + 1) * _STEPS
_MOST = 2**_POWERS - 1
#: Values that a `Recorder` counts together.
_BULK = 4096

Counts = NDArray[np.int64]


def _bucket(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of each value; below 64 every value has its own."""
    exponent = np.frexp(values.astype(np.float64))[1] - 1
    shift = np.maximum(exponent - _STEP_BITS, 0)
    return np.asarray((shift << _STEP_BITS) + (values >> shift), np.int64)


def _middles() -> NDArray[np.float64]:
    """The middle of the whole numbers that fall into each bucket."""
    number = np.arange(BUCKETS)
    shift = np.maximum((number >> _STEP_BITS) - 1, 0)
    first = (number - (shift << _STEP_BITS)) << shift
    return np.asarray(first + ((1 << shift) - 1) / 2, np.float64)


_MIDDLES = _middles()


@dataclass
class Histogram:
    """Counts of values, with their exact sum, least and most."""

    counts: Counts = field(default_factory=lambda: np.zeros(BUCKETS, np.int64))
    total_ns: int = 0
    least_ns: int = _MOST
    most_ns: int = 0

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    def record(self, values_ns: NDArray[np.int64]) -> None:
        """Count values; what is below zero counts as zero, what is longer than 39 hours as 39 hours."""
        if not len(values_ns):
            return
        values = np.clip(values_ns, 0, _MOST)
        self.counts += np.bincount(_bucket(values), minlength=BUCKETS)
        self.total_ns += int(values.sum())
        self.least_ns = min(self.least_ns, int(values.min()))
        self.most_ns = max(self.most_ns, int(values.max()))

    def merge(self, other: Histogram) -> None:
        """Add what another one has counted: as if all had been recorded here."""
        self.counts += other.counts
        self.total_ns += other.total_ns
        self.least_ns = min(self.least_ns, other.least_ns)
        self.most_ns = max(self.most_ns, other.most_ns)

    def quantile_ms(self, quantile: float, *, censored: int = 0) -> float:
        """The least value, in ms, that at least this share of all values doesn't exceed; nan if there is none.

        Args:
            quantile: from 0 to 1.
            censored: further values that are known to be longer than any counted here: infinite, if one is hit.
        """
        count = self.count
        if not count + censored:
            return float("nan")
        rank = max(1, int(np.ceil(quantile * (count + censored))))
        if rank > count:
            return float("inf")
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        return float(np.clip(_MIDDLES[bucket], self.least_ns, self.most_ns)) / 1e6

    def quantiles_ms(self, quantiles: Sequence[float]) -> list[float]:
        """Several of them."""
        return [self.quantile_ms(quantile) for quantile in quantiles]

    @property
    def mean_ms(self) -> float:
        """The exact mean, in ms; nan if there is no value."""
        return self.total_ns / self.count / 1e6 if self.count else float("nan")

    def sparse(self) -> dict[str, list[int]]:
        """Fit for JSON: the buckets that are not empty."""
        filled = np.flatnonzero(self.counts)
        return {
            "buckets": filled.tolist(),
            "counts": self.counts[filled].tolist(),
            "exact": [self.total_ns, self.least_ns, self.most_ns],
        }

    @classmethod
    def from_sparse(cls, stored: dict[str, list[int]]) -> Histogram:
        """What `sparse` gave."""
        made = cls()
        made.counts[stored["buckets"]] = stored["counts"]
        made.total_ns, made.least_ns, made.most_ns = stored["exact"]
        return made

    def edges_ms(self) -> tuple[NDArray[np.float64], Counts]:
        """The middles of the filled buckets in ms, and their counts."""
        filled = np.flatnonzero(self.counts)
        return _MIDDLES[filled] / 1e6, self.counts[filled]


class Recorder:
    """Gathers values for a histogram and counts many at once, which costs little more than to count a few."""

    def __init__(self) -> None:
        self._counted = Histogram()
        self._gathered: list[NDArray[np.int64]] = []
        self._waiting = 0

    def record(self, values_ns: NDArray[np.int64]) -> None:
        """Take values; the array must not be changed afterwards."""
        self._gathered.append(values_ns)
        self._waiting += len(values_ns)
        if self._waiting >= _BULK:
            self._count()

    @property
    def histogram(self) -> Histogram:
        """Of all that was taken."""
        self._count()
        return self._counted

    def _count(self) -> None:
        if self._gathered:
            self._counted.record(np.concatenate(self._gathered))
            self._gathered.clear()
            self._waiting = 0


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of all."""
    total = Histogram()
    for histogram in histograms:
        total.merge(histogram)
    return total
