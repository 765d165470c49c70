"""What a verdict means to whoever wrote the program: the first offender's way in whole sentences, and one question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from labs.trial import operations as op
from labs.trial.checker import Anomaly, Result, Verdict
from labs.trial.checker.kinds import Finding
from labs.trial.history import Event

#: A way of so many steps is told from both ends.
_STEPS = 12
_SETTLED = {"ack": "acked it", "nack": "gave it back (nack)", "reject": "gave it back (reject)"}


def explain(result: Result, events: Sequence[Event], questions: Mapping[Anomaly, str]) -> str:
    """Several lines.

    Args:
        result: of the checker.
        events: that it checked.
        questions: which the exercise would ask, instead of the checker's own hints.
    """
    if result.verdict is Verdict.VALID:
        return f"valid: {result.why}."
    if result.first is None:
        return f"unknown: {result.why}. Run it again, or with another --seed."
    start_ns = min((event.at_ns for event in events), default=0)
    found = ", ".join(f"{number} x {name}" for name, number in result.anomalies.items())
    lines = [f"invalid: {result.why}", f"In all: {found}."]
    lines += [f"  {line}" for line in _way(result.first, events, start_ns)]
    lines += _question(result.first.anomaly, result.hint, questions)
    return "\n".join(lines)


def _question(anomaly: Anomaly, hint: str, questions: Mapping[Anomaly, str]) -> list[str]:
    return ["", questions.get(anomaly, hint)]


def _way(finding: Finding, events: Sequence[Event], start_ns: int) -> list[str]:
    """What happened to the message or job, and to the programs meanwhile."""
    steps: list[tuple[int, str]] = []
    for event in events:
        of_it = (finding.message and event.message == finding.message) or (finding.job and event.job == finding.job)
        said = _step(event) if of_it else _around(event)
        if said:
            steps.append((event.at_ns, said))
    lines = [f"{(at_ns - start_ns) / 1e9:6.2f} s  {said}" for at_ns, said in sorted(steps, key=lambda step: step[0])]
    if len(lines) > _STEPS:
        lines[_STEPS // 2 : -_STEPS // 2] = [f"          ... {len(lines) - _STEPS} more"]
    return lines


def _around(event: Event) -> str:
    """What concerns everything: what was broken, and who is gone."""
    if event.operation == op.KILL:
        return f"{event.value} is killed (SIGKILL)"
    if event.operation == op.FAULT and event.kind == "invoke" and " is killed" not in event.value:
        return event.value
    if event.operation == op.EXIT:
        return f"{event.process} had ended by itself: {event.error}"
    return ""


def _step(event: Event) -> str:
    """What happened to it."""
    return next(filter(None, _said(event)), "")


def _said(event: Event) -> Iterator[str]:
    match event.operation:
        case op.PUBLISH:
            told = {"ok": "the broker confirmed it", "fail": f"the broker has {event.error} it", "info": ""}
            yield told.get(event.kind, f"{event.process} published it")
        case op.DELIVER:
            yield f"{event.process} got it" + (" again" if event.value else "") + _attempt(event)
        case op.SETTLE:
            yield f"{event.process} {_SETTLED.get(event.value, event.value)}"
        case op.EFFECT:
            yield "it was given up as dead" if event.value == op.DEAD else "its effect was committed"
        case op.MARK:
            yield "it was marked as published"
        case op.STATUS:
            yield f"its job became {event.value}"
        case op.VERSION:
            yield f"version {event.count} " + ("was told of" if event.kind == "invoke" else "was written")
        case op.ASK:
            yield {"invoke": "a client asked", "ok": f"the client got {event.value!r}"}.get(
                event.kind, "the client had no answer in time"
            )


def _attempt(event: Event) -> str:
    return f", attempt {event.attempt}" if event.attempt > 1 else ""
