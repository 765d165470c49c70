"""The verdict on a history: a pure function, the same for the same history on any machine."""

from __future__ import annotations

import enum
import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from labs.trial import operations as op
from labs.trial.checker import calls, jobs, messages, processes, versions
from labs.trial.checker.kinds import HINTS, NEEDS_REST, Anomaly, Finding
from labs.trial.checker.story import story
from labs.trial.checker.tables import Tables
from labs.trial.history import Event
from labs.trial.operations import Promises

_CHECKS = (
    messages.lost,
    messages.unexpected,
    messages.never_published,
    messages.without_effect,
    messages.misdirected,
    messages.done_twice,
    messages.miscounted,
    messages.acked_early,
    messages.marked_early,
    messages.attempts,
    messages.given_back_for_ever,
    messages.retried_early,
    jobs.gone,
    jobs.uninvited,
    jobs.repeated,
    jobs.without_end,
    jobs.ended_late,
    jobs.steps,
    jobs.messages_of_rows,
    jobs.results,
    jobs.at_once,
    calls.unanswered,
    calls.foreign,
    versions.backwards,
    versions.missing,
    processes.at_rest,
    processes.endings,
    processes.windows,
    processes.memory,
)
_GOING_ON = frozenset({op.PUBLISH, op.DELIVER, op.SETTLE, op.MARK, op.TALLY})
_ORDER = {anomaly: number for number, anomaly in enumerate(Anomaly)}


class Verdict(enum.StrEnum):
    """Whether the promises were kept."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Result:
    """What a history says.

    Args:
        verdict: invalid: something is wrong; unknown: nothing is, but the trial proves nothing.
        why: in one line; of an unknown one, what was missing.
        counts: of messages and jobs, by name.
        anomalies: how many of each kind.
        first: the first one of the gravest kind.
        story: what is known of what it is about.
        hint: a question to think about.
    """

    verdict: Verdict
    why: str
    counts: dict[str, int]
    anomalies: dict[str, int]
    first: Finding | None = None
    story: tuple[str, ...] = ()
    hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def check(events: Sequence[Event], promises: Promises) -> Result:
    """Check a history against what was promised."""
    with _no_collection():
        return _checked(events, promises)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Tables of a million events are no rubbish: to look for some in them again and again takes a third of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _checked(events: Sequence[Event], promises: Promises) -> Result:
    drain = next((event for event in reversed(events) if event.operation == op.PHASE and event.value == op.DRAIN), None)
    if drain is None or drain.kind == "invoke":  # nor was anything read of what is left: every ack would look early
        return Result(Verdict.UNKNOWN, "the trial did not come to its end", {}, {})
    rested = drain.kind != "info"
    tables = Tables(events if rested else _before(drain, events), promises)
    found = [f for f in chain.from_iterable(each(tables) for each in _CHECKS) if rested or f.anomaly not in NEEDS_REST]
    totals = {**messages.counts(tables), **_job_counts(tables)}
    if found:
        return _invalid(found, events, tables, totals)
    doubts = list(_doubts(tables, rested=rested))
    verdict = Verdict.UNKNOWN if doubts else Verdict.VALID
    faults = len({event.value for event in tables.of(op.FAULT, "info")})
    kept = f"every promise was kept under {faults} kind{'s' if faults != 1 else ''} of faults"
    return Result(verdict, "; ".join(doubts) or kept, totals, {})


def _before(drain: Event, events: Sequence[Event]) -> list[Event]:
    """Without what went on after a drain was given up: of that the rows, read meanwhile, know but a part."""
    return [event for event in events if event.operation not in _GOING_ON or event.at_ns <= drain.at_ns]


def _invalid(found: list[Finding], events: Sequence[Event], tables: Tables, totals: dict[str, int]) -> Result:
    first = min(found, key=lambda finding: (_ORDER[finding.anomaly], finding.at_ns))
    anomalies = Counter(finding.anomaly.value for finding in sorted(found, key=lambda f: _ORDER[f.anomaly]))
    about = f"job {first.job}" if first.job else f"message {first.message}" if first.message else f"queue {first.queue}"
    subject = "" if not (first.job or first.message or first.queue) else f"{about} "
    at_s = (first.at_ns - tables.start_ns) / 1e9
    return Result(
        Verdict.INVALID,
        f"{first.anomaly.value}: {subject}{first.text} (at {at_s:.2f} s)",
        totals,
        dict(anomalies),
        first,
        story(first, events, start_ns=tables.start_ns),
        HINTS[first.anomaly],
    )


def _job_counts(tables: Tables) -> dict[str, int]:
    last = Counter(steps[-1].value for steps in tables.steps.values())
    return {
        "submitted": len({event.request for event in tables.of(op.SUBMIT, "invoke")}),
        "accepted": len(tables.accepted),
        **{status: last[status] for status in sorted(op.TERMINAL) if last[status]},
        "effects": sum(len(events) for events in tables.effects.values()),
    }


def _doubts(tables: Tables, *, rested: bool) -> Iterator[str]:
    """Why a history without anomalies proves nothing."""
    if not tables.confirmed:
        yield "no operation was confirmed"
    if not rested:
        yield "the drain did not come to its end"
    spans = list(_faults(tables))
    if not spans:
        yield "no fault was seen"
    elif not any(_overlap(span, tables) for span in spans):
        yield "no fault overlapped any work"


def _faults(tables: Tables) -> Iterator[tuple[int, int]]:
    """From the beginning of each fault that was seen to its healing, or for ever."""
    events = sorted(tables.of(op.FAULT), key=lambda event: event.at_ns)
    for number, event in enumerate(events):
        if event.kind != "info":
            continue
        own = [other for other in events if other.value == event.value]
        begun = max(
            (e.at_ns for e in events[:number] if e.value == event.value and e.kind == "invoke"), default=event.at_ns
        )
        healed = min((e.at_ns for e in own if e.kind == "ok" and e.at_ns >= event.at_ns), default=2**63)
        yield begun, healed


def _overlap(span: tuple[int, int], tables: Tables) -> bool:
    """Whether a request was being made, or a message was under way, meanwhile."""
    begun, healed = span
    for message, event in tables.attempted.items():
        if event.at_ns <= healed and _ended(message, tables) >= begun:
            return True
    asked = {event.request: event.at_ns for event in tables.of(op.SUBMIT, "invoke")}
    return any(asked.get(e.request, e.at_ns) <= healed and e.at_ns >= begun for e in tables.of(op.SUBMIT, "ok"))


def _ended(message: str, tables: Tables) -> int:
    effects = (tables.effects.get((queue, message), ()) for queue in tables.promises.queues)
    return max((event.at_ns for events in effects for event in events), default=2**63)
