"""When each message is meant to be sent: fixed before the run, whatever the broker does during it.

A profile says how the rate moves over the run, an arrival process how single messages fall into it. Times are whole
nanoseconds since the start; the same arguments give the same times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
Arrivals = Literal["uniform", "poisson"]

_NS = 1e9
#: Steps by which a curved profile is followed; the error of a time is far below a microsecond.
_GRID = 20_001


class Profile(Protocol):
    """How the rate moves."""

    def cumulative(self, duration_s: float) -> Curve:
        """Seconds, and how many messages are due until then: both grow, a jump is the same second twice."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same rate all the time, in messages per second."""

    rate: float

    def cumulative(self, duration_s: float) -> Curve:
        return np.array([0.0, duration_s]), np.array([0.0, self.rate * duration_s])


@dataclass(frozen=True)
class Steps:
    """Rates one after the other, each for its share of the run."""

    rates: Sequence[float]

    def cumulative(self, duration_s: float) -> Curve:
        length_s = duration_s / len(self.rates)
        due = np.concatenate([[0.0], np.cumsum([rate * length_s for rate in self.rates])])
        return np.linspace(0, duration_s, len(due)), due


@dataclass(frozen=True)
class Ramp:
    """From one rate to another, in a straight line."""

    start: float
    end: float

    def cumulative(self, duration_s: float) -> Curve:
        at = np.linspace(0, duration_s, _GRID)
        return at, self.start * at + (self.end - self.start) * at**2 / (2 * duration_s)


@dataclass(frozen=True)
class Sine:
    """A rate that swings around its mean by a share of it, once in every `period_s`."""

    mean: float
    swing: float
    period_s: float

    def cumulative(self, duration_s: float) -> Curve:
        at = np.linspace(0, duration_s, _GRID)
        turn = 2 * np.pi / self.period_s
        return at, self.mean * (at + self.swing * (1 - np.cos(turn * at)) / turn)


@dataclass(frozen=True)
class Bursts:
    """A steady rate, and on top of it `size` messages at once, every `every_s`, first after one such time."""

    rate: float
    size: int
    every_s: float

    def cumulative(self, duration_s: float) -> Curve:
        moments = np.arange(self.every_s, duration_s, self.every_s)
        at = np.concatenate([[0.0], np.repeat(moments, 2), [duration_s]])
        bursts = np.concatenate([[0.0], np.repeat(np.arange(len(moments)), 2) + np.tile([0, 1], len(moments))])
        bursts = np.append(bursts, len(moments))
        return at, self.rate * at + self.size * bursts


def times(profile: Profile, *, duration_s: float, arrivals: Arrivals = "uniform", seed: int = 0) -> Times:
    """Every moment at which a message is meant to be sent.

    Args:
        profile: how the rate moves.
        duration_s: length of the run, in seconds.
        arrivals: `uniform` places them evenly along the profile; `poisson` at random, each independent of the others.
        seed: of the random ones.
    """
    at_s, due = profile.cumulative(duration_s)
    total = float(due[-1])
    if arrivals == "poisson":
        # How many arrivals there are is itself random; given that, they are independent and uniform over what is due.
        random = np.random.default_rng(seed)
        counts = np.sort(random.uniform(0, total, random.poisson(total)))
    else:
        counts = np.arange(0, total)
    return np.asarray(np.interp(counts, due, at_s) * _NS, np.int64)


def replay(path: Path) -> Times:
    """The moments of a recorded trace: a text file with one number a line, seconds since any start, in any order.

    Raises:
        ValueError: the file holds something else, or nothing.
    """
    try:
        seconds = np.sort(np.loadtxt(path, dtype=np.float64, ndmin=1))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a trace, one number of seconds a line: {error}") from error
    if not len(seconds) or not np.isfinite(seconds).all():
        raise ValueError(f"{path} is not a trace: it holds no number, or one that isn't finite")
    return np.asarray((seconds - seconds[0]) * _NS, np.int64)


def share(moments: Times, *, part: int, parts: int) -> Times:
    """What one of several producers sends: every `parts`-th message, so that together they keep the schedule."""
    return moments[part::parts]
