"""What limited a run: the rate asked for, the workers' time, the round trip, the broker, or the client itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from loadtest.engine.series import Floats

if TYPE_CHECKING:
    from loadtest.engine.result import Result

By = Literal["rate", "workers", "round-trip", "broker", "client", "unknown"]
#: What a run is called by what limited it.
NAMES: dict[str, str] = {
    "rate": "rate-bound",
    "workers": "worker-bound",
    "round-trip": "round-trip-bound",
    "broker": "broker-bound",
    "client": "client-bound",
    "unknown": "unknown",
}
#: Share of a core from which on a process of ours may be what limits a run.
BUSY = 0.85
#: Share of their time from which on consumers that work are what limits it: acks and deliveries take the rest.
AT_WORK = 0.75
#: Share of the confirm window that is on its way, on average, if producers do nothing but wait for confirms.
_FULL = 0.75
#: What producers tell of confirms: the time that all of them took together, and their number.
_CONFIRMS = ("confirming_s", "confirmed")
#: Share of the offered rate that counts as kept.
KEPT = 0.99
#: Share of all messages by which the backlog may drift.
_DRIFT = 0.02
#: A load that is shorter says nothing.
_LEAST_S = 0.5


@dataclass(frozen=True)
class Limit:
    """What limited a run, and how one sees that."""

    by: By
    why: str

    def __str__(self) -> str:
        return f"{NAMES[self.by]}: {self.why}"


def limit_of(result: Result, *, broker_has_time: bool = False) -> Limit:
    """Judge a run.

    Args:
        broker_has_time: whether it is known that none of the broker's processes used up its core.
    """
    start_s, end_s = result.span_s
    if end_s - start_s < _LEAST_S or not result.integrity.sent:
        return Limit("unknown", "the run was too short to tell")
    if result.plan.work_ms:
        return _limit_of_workers(result)
    busiest = max(_typical(result, "producers"), _typical(result, "consumers"))
    kept = result.rate("sent") >= KEPT * result.rate("due") if result.plan.rate is not None else False
    if kept and not grows(result):
        return Limit("rate", "the broker took all that was offered, and the backlog did not grow")
    if busiest >= BUSY:
        why = f"a process of the load generator used {busiest:.0%} of a core: add producers or consumers"
        return Limit("client", why)
    return _limit_of_broker(result, busiest=busiest, has_time=broker_has_time)


def _limit_of_broker(result: Result, *, busiest: float, has_time: bool) -> Limit:
    """Judge a run that neither its rate nor its client has limited."""
    blocked_s = result.load[-1].blocked_s - result.load[0].blocked_s
    if blocked_s > 0:
        return Limit("broker", f"it blocked publishers for {blocked_s:.1f} s (an alarm)")
    if _waits_for_round_trips(result, has_time=has_time):
        return Limit("round-trip", _of_round_trips(result))
    why = "its confirms or deliveries came more slowly than messages were offered"
    return Limit("broker", f"{why}; the load generator used {busiest:.0%} of a core at the most")


def _waits_for_round_trips(result: Result, *, has_time: bool) -> bool:
    """Whether producers wait for confirms from a broker that has time: their window is full, and its cores are not.

    A single message on its way keeps each part of the broker waiting for the others, so that none is used up; of more
    of them that is not known.
    """
    window = result.plan.in_flight * result.plan.producers
    if not window or grows(result):
        return False
    return _on_their_way(result)[0] >= _FULL * window and (window == 1 or has_time)


def _on_their_way(result: Result) -> tuple[float, float]:
    """Messages that waited for a confirm, on average, and the mean of that time in seconds.

    By Little's law: the time that all of them have waited in a while is what passed of it, times how many there were.
    """
    start_s, end_s = result.span_s
    span = np.array([start_s, end_s])
    confirming_s, confirmed = (float(np.diff(result.series.total(name, span))[0]) for name in _CONFIRMS)
    return confirming_s / max(end_s - start_s, 1e-9), confirming_s / max(confirmed, 1)


def _of_round_trips(result: Result) -> str:
    plan = result.plan
    count = "one confirm" if plan.in_flight == 1 else f"{plan.in_flight} confirms"
    waits = f"limited by the round trip: {count} at a time, {_on_their_way(result)[1] * 1000:.3g} ms each"
    # A `BlockingConnection` waits for each confirm, whatever the window.
    other = "choose another client" if plan.in_flight < plan.window else "raise the confirm window"
    return f"{waits}; {other}"


def _limit_of_workers(result: Result) -> Limit:
    """Judge a run whose consumers work: it is their time that is offered, and that may not be enough."""
    due = result.rate("due")
    at_work, waiting = at_work_of(result)
    # Of slow work few messages are done in a run: a few less than were offered mean something if nobody had time.
    is_behind = at_work >= AT_WORK and result.rate("received") < KEPT * due
    count, work_ms = result.plan.consumers, result.plan.work_ms
    who = "1 worker was" if count == 1 else f"{count} workers were"
    if result.rate("sent") >= KEPT * due and not grows(result) and not is_behind:
        return Limit("rate", f"all that was offered was done; {who} at work {at_work:.0%} of the time")
    if at_work >= AT_WORK:
        queueing = f", {waiting:.0%} of it in line for what they share" if result.plan.shared_ms else ""
        offered = f"{due:,.0f} messages/s of {work_ms:g} ms need {due * work_ms / 1000:.1f} workers"
        return Limit("workers", f"{who} at work {at_work:.0%} of the time{queueing}; {offered}")
    if (busiest := max(_typical(result, "producers"), _typical(result, "consumers"))) >= BUSY:
        return Limit("client", f"a process of the load generator used {busiest:.0%} of a core")
    idle = f"{who} at work {at_work:.0%} of the time, and messages waited all the same"
    return Limit("broker", f"{idle}: raise --prefetch, or look at the broker")


def at_work_of(result: Result) -> tuple[float, float]:
    """Share of the consumers' time that they were at work, and the share of that in which they waited for a lock."""
    start_s, end_s = result.span_s
    span = np.array([start_s, end_s])
    worked, waited = (result.series.total(name, span) for name in ("worked_s", "waited_s"))
    had_s = max(1e-9, (end_s - start_s) * result.plan.consumers)
    worked_s = float(worked[1] - worked[0])
    return min(1.0, worked_s / had_s), float(waited[1] - waited[0]) / max(worked_s, 1e-9)


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
