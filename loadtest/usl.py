"""The Universal Scalability Law: what more workers bring, where it ends, and how sure that is.

With n workers, each of whom does `one` messages a second when alone, together they do

    n * one / (1 + contention * (n - 1) + coherence * n * (n - 1))

messages a second. Contention is what they wait in line for; coherence is what they have to agree on with one another:
only with some of it more workers can do less than fewer. Both are fitted to measurements, and describe these: beyond
the largest number of workers that was measured the law is a guess. (Gunther, Guerrilla Capacity Planning.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: A further worker is worth it as long as it brings this share of what the first one brought.
WORTH_IT = 0.5
_RESAMPLES = 400


@dataclass(frozen=True)
class Usl:
    """A curve.

    Args:
        one: messages per second of a single worker.
        contention: sigma, the share of the work that is done by one at a time.
        coherence: kappa, the cost of agreement for each pair of workers.
    """

    one: float
    contention: float
    coherence: float

    def at(self, workers: float) -> float:
        """Messages per second of so many."""
        others = workers - 1
        return workers * self.one / (1 + self.contention * others + self.coherence * workers * others)

    @property
    def peak(self) -> float:
        """The number of workers beyond which more do less; infinite if there is none."""
        if self.coherence <= 0:
            return math.inf
        return max(1.0, math.sqrt(max(0.0, 1 - self.contention) / self.coherence))

    def knee(self, *, most: int) -> int | None:
        """The last worker who brings at least half of what the first one does; None if all of `most` do."""
        for workers in range(1, most):
            if self.at(workers + 1) - self.at(workers) < WORTH_IT * self.one:
                return workers
        return None


@dataclass(frozen=True)
class Fit:
    """A curve through measurements, and others that the same measurements would allow.

    Args:
        points: messages per second, by number of workers.
        curve: nearest to all of them.
        others: curves through samples drawn from them: how sure the first one is.
    """

    points: Mapping[int, Sequence[float]]
    curve: Usl
    others: tuple[Usl, ...] = field(repr=False)

    @property
    def most(self) -> int:
        """Workers that were measured at most."""
        return max(self.points)

    def interval(self, name: str) -> tuple[float, float]:
        """Between which bounds `one`, `contention`, `coherence` or `peak` lies, with 95 %."""
        return _between(getattr(curve, name) for curve in self.others)

    def at(self, workers: float) -> tuple[float, float]:
        """Between which bounds the messages per second of so many lie, with 95 %."""
        return _between(curve.at(workers) for curve in self.others)

    @property
    def knee(self) -> tuple[int, int] | None:
        """Between which numbers of workers the knee lies, with 95 %; None if it lies beyond what was measured."""
        if self.curve.knee(most=self.most) is None:
            return None
        low, high = _between(curve.knee(most=self.most) or self.most for curve in self.others)
        return math.floor(low), math.ceil(high)

    def needed(self, per_s: float) -> int | None:
        """The fewest workers that do so many messages a second on this curve; None if no number of them does."""
        last = math.inf if self.curve.coherence <= 0 else math.ceil(self.curve.peak)
        workers = 1
        while workers <= min(last, 10_000):
            if self.curve.at(workers) >= per_s:
                return workers
            workers += 1
        return None


def fit(points: Mapping[int, Sequence[float]], *, seed: int = 0) -> Fit:
    """Fit the law to measurements; its three numbers are never negative.

    Args:
        points: messages per second, by number of workers: three such numbers at least, each measured once or more.
        seed: of the samples that are drawn for the intervals.

    Raises:
        ValueError: there are fewer, or a measurement is not more than zero.
    """
    if len(points) < 3 or any(not values or min(values) <= 0 for values in points.values()):
        raise ValueError("the law needs three numbers of workers at least, each with a rate above zero")
    random = np.random.default_rng(seed)
    others = []
    for _ in range(_RESAMPLES):
        drawn = {workers: random.choice(np.array(values), len(values)).tolist() for workers, values in points.items()}
        others.append(_nearest(drawn))
    return Fit(points, _nearest(points), tuple(others))


def _nearest(points: Mapping[int, Sequence[float]]) -> Usl:
    """Least squares of relative errors: turned round, n / rate, the law is a sum of three terms."""
    workers = np.array([count for count, values in points.items() for _ in values], np.float64)
    rates = np.array([value for values in points.values() for value in values], np.float64)
    times = workers / rates
    terms = np.stack([np.ones_like(workers), workers - 1, workers * (workers - 1)], axis=1)
    one, contention, coherence = _not_negative(terms / times[:, None], np.ones_like(times))
    return Usl(1 / one, contention / one, coherence / one)


def _not_negative(terms: Floats, wanted: Floats) -> tuple[float, float, float]:
    """The best factors of which none is negative: with two that may be zero, all ways are tried."""
    best, least = np.zeros(terms.shape[1]), math.inf
    for others in ((), *combinations((1, 2), 1), (1, 2)):
        used = [0, *others]
        found, *_ = np.linalg.lstsq(terms[:, used], wanted)
        error = float(np.sum((terms[:, used] @ found - wanted) ** 2))
        if (found >= 0).all() and error < least - 1e-12:
            best, least = np.zeros(terms.shape[1]), error
            best[used] = found
    return float(best[0]), float(best[1]), float(best[2])


def _between(values: Iterable[float]) -> tuple[float, float]:
    """The middle 95 of 100, by rank: some may be infinite."""
    ranked = sorted(values)
    last = len(ranked) - 1
    return ranked[math.floor(0.025 * last)], ranked[math.ceil(0.975 * last)]
