"""What a load is doing right now, of each part in each process, put together: counts, rates, latencies, a verdict.

A part keeps its own totals; a worker tells its parts as they stand with each of its reports, and whoever lost one
report sees the same with the next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from loadtest.engine.histogram import Histogram, merged
from loadtest.engine.run import HISTOGRAMS
from loadtest.engine.verdict import BUSY, KEPT

COUNTS = ("due", "sent", "confirmed", "received")
#: Rates and the verdict look back so far.
_LOOK_BACK_S = 5.0
#: The same shares as those by which a whole run is judged.
_DRIFT, _LEAST_DRIFT = 0.02, 50
#: Values are put into a histogram so many at once.
_FLUSH = 500


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One part, or several together, at one moment.

    Args:
        counts: messages since the start: due, sent, confirmed, received (a copy for each subscriber).
        per_s: the same per second, over the last few.
        backlog: sent, and still to be received.
        busy: share of a core that the busiest process of ours uses.
        limit: what limits it, and how one sees that.
        is_over: it has ended.
        users: that have begun.
    """

    scenario: str
    counts: dict[str, int]
    per_s: dict[str, float]
    backlog: int
    busy: float
    limit: tuple[str, str]
    is_over: bool
    users: int
    latencies: dict[str, Histogram]

    def told(self) -> dict[str, Any]:
        """Fit for a message."""
        plain = {name: value for name, value in vars(self).items() if name != "latencies"}
        return {**plain, "latencies": {name: each.sparse() for name, each in self.latencies.items()}}

    @classmethod
    def heard(cls, told: dict[str, Any]) -> Standing:
        """What `told` gave."""
        latencies = {name: Histogram.from_sparse(each) for name, each in told["latencies"].items()}
        return cls(**{**told, "limit": tuple(told["limit"]), "latencies": latencies})


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


def judged(gained: dict[str, int], *, length_s: float, copies: int, busy: float) -> tuple[str, str]:
    """What limits a load that still runs, seen from its last seconds."""
    if length_s < 1 or not gained["due"]:
        return "unknown", "too early to tell"
    grown = gained["sent"] * copies - gained["received"]
    grows = grown > max(_DRIFT * gained["sent"] * copies, _LEAST_DRIFT)
    if gained["sent"] >= KEPT * gained["due"] and not grows:
        return "rate", "all that is offered is taken, and the backlog does not grow"
    if busy >= BUSY:
        return "client", f"the load generator uses {busy:.0%} of a core: more processes (--processes), or Firehose"
    if grows:
        return "broker", "messages are published faster than they are consumed"
    return "broker", "answers come more slowly than messages are offered: more users (-u) have more of them under way"


class Board:
    """All parts, of this process and of others."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._others: dict[str, list[Standing]] = {}
        #: Seconds since the epoch, and all parts together: for the charts.
        self.series: deque[tuple[float, Standing]] = deque(maxlen=3600)

    def clear(self) -> None:
        """A new test begins."""
        self.parts, self._others = [], {}
        self.series.clear()

    def told(self) -> list[dict[str, Any]]:
        """Our own parts, for a master."""
        return [part.standing().told() for part in self.parts]

    def hear(self, worker: str, told: Iterable[dict[str, Any]]) -> None:
        """What a worker tells of its parts."""
        self._others[worker] = [Standing.heard(each) for each in told]

    def standings(self) -> list[Standing]:
        """Every part as it stands."""
        own = [part.standing() for part in self.parts]
        return own + [each for others in self._others.values() for each in others]

    def note(self) -> None:
        """Remember this moment."""
        now_s = time.time()
        for part in self.parts:
            if not part.notes_itself and not part.is_over:
                part.note(now_s)
        if any(not each.is_over for each in self.standings()):
            self.series.append((now_s, together(self.standings())))

    def by_scenario(self) -> dict[str, Standing]:
        """The parts of each scenario together."""
        names = sorted({each.scenario for each in self.standings()})
        return {name: together([each for each in self.standings() if each.scenario == name]) for name in names}


def together(standings: list[Standing]) -> Standing:
    """Several parts as one: what limits one of them limits all."""
    return Standing(
        scenario=", ".join(sorted({each.scenario for each in standings})),
        counts={name: sum(each.counts[name] for each in standings) for name in COUNTS},
        per_s={name: sum(each.per_s[name] for each in standings) for name in COUNTS},
        backlog=sum(each.backlog for each in standings),
        busy=max((each.busy for each in standings), default=0.0),
        limit=min((each.limit for each in standings), key=_severity, default=("unknown", "nothing runs")),
        is_over=all(each.is_over for each in standings),
        users=sum(each.users for each in standings),
        latencies={name: merged(each.latencies[name] for each in standings) for name in HISTOGRAMS},
    )


def _severity(limit: tuple[str, str]) -> int:
    return ("client", "broker", "workers", "unknown", "rate").index(limit[0])


def as_plain(standing: Standing) -> dict[str, Any]:
    """Without its histograms."""
    return {name: value for name, value in asdict(standing).items() if name != "latencies"}
