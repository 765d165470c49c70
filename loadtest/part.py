"""A part of a load, in the process that does it: it counts what it sends and receives, and knows how that goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from loadtest.engine.histogram import Histogram
from loadtest.engine.team import HISTOGRAMS
from loadtest.standing import COUNTS, Standing, judged

#: Rates and the verdict look back so far.
_LOOK_BACK_S = 5.0
#: Values are put into a histogram so many at once.
_FLUSH = 500


@dataclass
class Part:
    """A part of a load, in the process that does it.

    Args:
        scenario: whose part it is.
        copies: how many times each message is received.
        lost: copies that are no longer waited for.
        busy: share of a core of whoever does it.
        due: messages that the schedule has asked for by now.
        is_done: whether its users have nothing more to do; it is over if that is all.
        users: those that have begun.
        notes_itself: its counts are of moments of another process.
    """

    scenario: str
    copies: int = 1
    busy: Callable[[], float] = lambda: 0.0
    sent: int = 0
    confirmed: int = 0
    received: int = 0
    lost: int = 0
    due: Callable[[], int] = lambda: 0
    limit: tuple[str, str] | None = None
    notes_itself: bool = False
    is_over: bool = False
    is_done: Callable[[], bool] = lambda: False
    users: int = 1
    latencies: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name in HISTOGRAMS})
    _waiting: dict[str, list[int]] = field(default_factory=dict)
    _seen: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    @property
    def backlog(self) -> int:
        """Copies that were sent and are still to be received."""
        return max(0, self.sent * self.copies - self.received - self.lost)

    def record(self, name: str, value_ns: int) -> None:
        """One latency."""
        values = self._waiting.setdefault(name, [])
        values.append(value_ns)
        if len(values) >= _FLUSH:
            self._flush()

    def note(self, at_s: float) -> None:
        """Remember the counts of this moment, of any clock, for the rates."""
        self._seen.append((at_s, self.counts()))

    def settle(self) -> None:
        """The load ends here: what limited it is judged over all of it, without its first second."""
        gained, length_s = self._gained(1)
        self.limit = judged(gained, length_s=length_s, copies=self.copies, busy=self.busy())

    def counts(self) -> dict[str, int]:
        """Since the start."""
        sent = {"sent": self.sent, "confirmed": self.confirmed, "received": self.received}
        return {"due": max(self.due(), self.sent), **sent}

    def standing(self) -> Standing:
        """How it is doing."""
        self._flush()
        counts = self.counts()
        gained, length_s = self._gained(self._since())
        return Standing(
            scenario=self.scenario,
            counts=counts,
            per_s={name: 0.0 if self.is_over else count / length_s for name, count in gained.items()},
            backlog=self.backlog,
            busy=self.busy(),
            limit=self.limit or judged(gained, length_s=length_s, copies=self.copies, busy=self.busy()),
            is_over=self.is_over or self.is_done(),
            users=self.users,
            latencies=self.latencies,
        )

    def _since(self) -> int:
        """The first of the moments that count as the last few seconds."""
        first = len(self._seen) - 1
        while first > 0 and self._seen[-1][0] - self._seen[first][0] < _LOOK_BACK_S:
            first -= 1
        return first

    def _gained(self, since: int) -> tuple[dict[str, int], float]:
        if len(self._seen) < since + 2:
            return dict.fromkeys(COUNTS, 0), 1e-9
        (first_s, first), (last_s, last) = self._seen[since], self._seen[-1]
        return {name: last[name] - first[name] for name in COUNTS}, max(last_s - first_s, 1e-9)

    def _flush(self) -> None:
        for name, values in self._waiting.items():
            self.latencies[name].record(np.array(values, np.int64))
        self._waiting = {}
