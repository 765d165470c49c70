"""How a load is doing at one moment, judged as it runs; several parts of it are put together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from loadtest.engine.histogram import Histogram, merged
from loadtest.engine.team import HISTOGRAMS
from loadtest.engine.verdict import BUSY, KEPT

COUNTS = ("due", "sent", "confirmed", "received")
#: The same shares as those by which a whole run is judged.
_DRIFT, _LEAST_DRIFT = 0.02, 50


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
    return ("client", "broker", "round-trip", "workers", "unknown", "rate").index(limit[0])


def as_plain(standing: Standing) -> dict[str, Any]:
    """Without its histograms."""
    return {name: value for name, value in asdict(standing).items() if name != "latencies"}
