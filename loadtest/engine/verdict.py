"""What limited a run: the rate asked for, the broker, or the client, whose figures then say little of the broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from loadtest.engine.run import Result, Sample

#: Share of a core from which on a process of ours may be what limits a run.
BUSY = 0.85
#: Share of the offered rate that counts as kept.
KEPT = 0.99
#: Share of all messages by which the backlog may drift.
_DRIFT = 0.02


@dataclass(frozen=True)
class Limit:
    """What limited a run, and how one sees that."""

    by: Literal["rate", "broker", "client", "unknown"]
    why: str

    def __str__(self) -> str:
        return {"rate": "rate-bound", "broker": "broker-bound", "client": "client-bound", "unknown": "unknown"}[
            self.by
        ] + f": {self.why}"


def limit_of(result: Result) -> Limit:
    """Judge a run."""
    load = result.load
    if len(load) < 2 or not result.integrity.sent:
        return Limit("unknown", "the run was too short to tell")
    busiest = max(_typical(load, "producer_busy"), _typical(load, "consumer_busy"))
    kept = result.rate("sent") >= KEPT * result.rate("due") if result.plan.rate is not None else False
    if kept and not grows(load):
        return Limit("rate", "the broker took all that was offered, and the backlog did not grow")
    if busiest >= BUSY:
        why = f"a process of the load generator used {busiest:.0%} of a core: add producers or consumers"
        return Limit("client", why)
    blocked_s = load[-1].blocked_s - load[0].blocked_s
    if blocked_s > 0:
        return Limit("broker", f"it blocked publishers for {blocked_s:.1f} s (an alarm)")
    why = "its confirms or deliveries came more slowly than messages were offered"
    return Limit("broker", f"{why}; the load generator used {busiest:.0%} of a core at the most")


def grows(load: list[Sample]) -> bool:
    """Whether the backlog grew over the load: its slope, times the length, is more than a small share of all."""
    at_s = np.array([sample.at_s for sample in load])
    backlog = np.array([sample.backlog for sample in load])
    if len(load) < 3:
        return False
    slope = float(np.polyfit(at_s, backlog, 1)[0])
    handled = load[-1].sent - load[0].sent
    return bool(slope * (at_s[-1] - at_s[0]) > max(_DRIFT * handled, 50))


def _typical(load: list[Sample], name: str) -> float:
    return float(np.median([getattr(sample, name) for sample in load]))
