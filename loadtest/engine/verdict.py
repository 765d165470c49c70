"""What limited a run: the rate asked for, the broker, or the client, whose figures then say little of the broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from loadtest.engine.series import Floats

if TYPE_CHECKING:
    from loadtest.engine.run import Result

#: Share of a core from which on a process of ours may be what limits a run.
BUSY = 0.85
#: Share of the offered rate that counts as kept.
KEPT = 0.99
#: Share of all messages by which the backlog may drift.
_DRIFT = 0.02
#: A load that is shorter says nothing.
_LEAST_S = 0.5


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
    start_s, end_s = result.span_s
    if end_s - start_s < _LEAST_S or not result.integrity.sent:
        return Limit("unknown", "the run was too short to tell")
    busiest = max(_typical(result, "producers"), _typical(result, "consumers"))
    kept = result.rate("sent") >= KEPT * result.rate("due") if result.plan.rate is not None else False
    if kept and not grows(result):
        return Limit("rate", "the broker took all that was offered, and the backlog did not grow")
    if busiest >= BUSY:
        why = f"a process of the load generator used {busiest:.0%} of a core: add producers or consumers"
        return Limit("client", why)
    blocked_s = load[-1].blocked_s - load[0].blocked_s
    if blocked_s > 0:
        return Limit("broker", f"it blocked publishers for {blocked_s:.1f} s (an alarm)")
    why = "its confirms or deliveries came more slowly than messages were offered"
    return Limit("broker", f"{why}; the load generator used {busiest:.0%} of a core at the most")


def grows(result: Result) -> bool:
    """Whether the backlog grew over the load: its slope, times the length, is more than a small share of all."""
    at_s = _moments(result)
    if not result.plan.consumers or len(at_s) < 3:
        return False
    slope = float(np.polyfit(at_s, result.series.backlog(at_s), 1)[0])
    length_s = at_s[-1] - at_s[0]
    return bool(slope * length_s > max(_DRIFT * result.rate("sent") * length_s, 50))


def _typical(result: Result, kind: str) -> float:
    return float(np.median(result.series.busiest(kind, _moments(result))))


def _moments(result: Result) -> Floats:
    start_s, end_s = result.span_s
    return np.arange(start_s, end_s + 1e-9, 0.5)
