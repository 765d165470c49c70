"""How sure a mean or a ratio is; a ratio from pairs of measurements that were made one right after the other.

A machine that grows slower over an hour, or a neighbour that comes and goes, touches both halves of a pair: their
ratio holds where neither of them would.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

#: Student's t, two-sided 95 %, for 1, 2, 3... degrees of freedom; from 31 on the normal distribution is near enough.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_NORMAL95 = 1.96


@dataclass(frozen=True)
class Ratio:
    """A ratio with its 95 % confidence interval.

    Args:
        middle: the geometric mean of the ratios.
        low, high: between them it lies, in 95 of 100 such comparisons.
        pairs: how many it was taken from.
    """

    middle: float
    low: float
    high: float
    pairs: int

    @property
    def differs(self) -> bool:
        """Whether one, no difference, lies outside."""
        return not self.low <= 1.0 <= self.high


def ratio_of(first: Sequence[float], second: Sequence[float]) -> Ratio | None:
    """The ratio of the second to the first, pair by pair; None if fewer than two pairs have numbers to compare.

    The logarithms of the ratios are taken as normally distributed, and their mean gets Student's t interval.
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if _is_usable(a) and _is_usable(b)]
    if len(pairs) < 2:
        return None
    logs = [math.log(b / a) for a, b in pairs]
    middle = statistics.fmean(logs)
    half = _half_width(logs)
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half), len(logs))


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % confidence interval; of a single value nobody knows how sure it is."""

    middle: float
    low: float
    high: float
    count: int


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of one value or more, with Student's t interval; of a single one it is infinitely wide."""
    middle = statistics.fmean(values)
    half = _half_width(values) if len(values) > 1 else math.inf
    return Mean(middle, middle - half, middle + half, len(values))


def _half_width(values: Sequence[float]) -> float:
    freedom = len(values) - 1
    t = _T95[freedom - 1] if freedom <= len(_T95) else _NORMAL95
    return t * statistics.stdev(values) / math.sqrt(len(values))


def _is_usable(value: float) -> bool:
    return math.isfinite(value) and value > 0
