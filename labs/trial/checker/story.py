"""The story of one message or job: what the history knows of it, with the faults around, in order of time."""

from __future__ import annotations

from collections.abc import Sequence

from labs.trial import operations as op
from labs.trial.checker.kinds import Finding
from labs.trial.history import Event

#: Nobody reads more; the history has all of it.
_LINES = 60
_OF_QUEUES = frozenset({op.DEPTH, op.CONSUMERS, op.TALLY})
#: A UUID is known by its beginning.
_SHORT = 16


def story(finding: Finding, events: Sequence[Event], *, start_ns: int) -> tuple[str, ...]:
    """Lines of it, each beginning with the seconds since the start of the trial."""
    jobs, messages = _relations(finding, events)
    queues = {finding.queue} if not jobs and not messages else set()
    requests = {event.request for event in events if event.job in jobs and event.request}

    def concerned(event: Event) -> bool:
        return (
            (event.job != "" and event.job in jobs)
            or event.message in messages
            or (event.request != "" and event.request in requests)
            or (event.queue != "" and event.queue in queues and event.operation in _OF_QUEUES)
        )

    own = sorted((event for event in events if concerned(event)), key=lambda event: event.at_ns)
    since, until = (own[0].at_ns, own[-1].at_ns) if own else (start_ns, finding.at_ns)
    around = _faults(events, since, until)
    lines = [_line(event, start_ns) for event in sorted([*own, *around], key=lambda event: event.at_ns)]
    if len(lines) > _LINES:
        lines[_LINES // 2 : -_LINES // 2] = [f"... {len(lines) - _LINES} more"]
    return tuple(lines)


def _faults(events: Sequence[Event], since_ns: int, until_ns: int) -> list[Event]:
    """All events of the faults that lasted for a part of that time; there is one at a time."""
    found: list[Event] = []
    span: list[Event] = []
    for event in (event for event in events if event.operation == op.FAULT):
        span = [event] if event.kind == "invoke" else [*span, event]
        if event.kind in {"ok", "fail"}:
            if span[0].at_ns <= until_ns and event.at_ns >= since_ns:
                found += span
            span = []
    return found + [event for event in span if event.at_ns <= until_ns]


def _relations(finding: Finding, events: Sequence[Event]) -> tuple[set[str], set[str]]:
    """The jobs of a message, and the messages of a job."""
    jobs, messages = {finding.job} - {""}, {finding.message} - {""}
    jobs |= {event.job for event in events if event.message in messages and event.job}
    messages |= {event.message for event in events if event.job in jobs and event.message}
    return jobs, messages


def _line(event: Event, start_ns: int) -> str:
    if event.operation == op.FAULT:
        said = {
            "invoke": "begins",
            "info": f"is seen: {event.error}",
            "ok": "is healed",
            "fail": f"failed: {event.error}",
        }
        return f"{_seconds(event, start_ns)}  fault {event.value} {said[event.kind]}"
    about = {
        "attempt": event.attempt or "",
        "queue": event.queue,
        "message": event.message if len(event.message) <= _SHORT else event.message[:8],
        "of": event.value,
        "count": event.count or "",
        "error": event.error,
    }
    words = " ".join(f"{name} {value}" for name, value in about.items() if value != "")
    return f"{_seconds(event, start_ns)}  {event.process}: {event.operation} {event.kind} {words}".rstrip()


def _seconds(event: Event, start_ns: int) -> str:
    return f"{(event.at_ns - start_ns) / 1e9:8.3f} s"
