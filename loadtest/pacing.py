"""When each message of a Locust user is meant to be sent: fixed by a seed, whatever happened to the messages before.

A user that falls behind sends what is due as soon as it can, and every message keeps its intended time: a slow answer
is seen in all latencies that it delays. A schedule without an end begins its shape anew after each `duration_s`.
"""

from __future__ import annotations

import time
from typing import Any

import gevent
import numpy as np
from locust.exception import StopUser
from numpy.typing import NDArray

from loadtest.engine.plan import Plan
from loadtest.engine.schedule import Times

_NS = 1e9


class Pace:
    """The schedule of one user, from now on.

    Args:
        plan: of the user's share: rate, shape, arrivals, duration.
        seed: numbers that make it this user's own.
        is_endless: whether it goes on after the plan's duration.
    """

    def __init__(self, plan: Plan, *, seed: tuple[int, ...], is_endless: bool) -> None:
        self._seed, self._is_random = seed, plan.arrivals == "poisson"
        self._length_ns = int(plan.duration_s * _NS)
        self._at_s, self._due = plan.profile().cumulative(plan.duration_s)
        self._start_ns = time.monotonic_ns()
        self._phase = float(np.random.default_rng(seed).uniform())
        self._moments: Times = np.zeros(0, np.int64)
        self._rounds = self._next = 0
        self._end_ns: int | None = None if is_endless else self._start_ns + self._length_ns

    def wait(self) -> int:
        """Wait until the next message is due; returns its intended time, in ns of `time.monotonic_ns`.

        Raises:
            StopUser: it is due after the end.
        """
        while self._next >= len(self._moments):
            self._add_round()
        intended_ns = int(self._moments[self._next])
        early_ns = intended_ns - time.monotonic_ns()
        if early_ns > 0:
            gevent.sleep(early_ns / _NS)
        if self._end_ns is not None and intended_ns > self._end_ns:
            raise StopUser
        self._next += 1
        return intended_ns

    def end(self) -> None:
        """Nothing more is due from now on."""
        now_ns = time.monotonic_ns()
        self._end_ns = min(self._end_ns or now_ns, now_ns)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will be due."""
        return self._end_ns is not None and time.monotonic_ns() >= self._end_ns

    def due(self) -> int:
        """Messages that were to be sent by now, or by the end."""
        now_ns = time.monotonic_ns()
        until_ns = min(self._end_ns or now_ns, now_ns)
        while self._start_ns + self._rounds * self._length_ns <= until_ns:
            self._add_round()
        return int(np.searchsorted(self._moments, until_ns, "right"))

    def _add_round(self) -> None:
        """The next stretch of `duration_s`."""
        total = float(self._due[-1])
        done = self._rounds * total
        counts: NDArray[np.floating[Any]]
        if self._is_random:
            random = np.random.default_rng((*self._seed, self._rounds))
            counts = np.sort(random.uniform(0, total, random.poisson(total)))
        else:
            # Messages are numbered over all rounds: a rate of less than one a round is kept, too.
            first, last = (int(np.ceil(due - self._phase)) for due in (done, done + total))
            counts = np.arange(first, last) + (self._phase - done)
        moments = np.interp(counts, self._due, self._at_s) * _NS + self._start_ns + self._rounds * self._length_ns
        self._moments = np.concatenate([self._moments, moments.astype(np.int64)])
        self._rounds += 1
