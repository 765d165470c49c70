"""What became of calls over the broker: each question is answered in the end, and with its own answer."""

from __future__ import annotations

from collections.abc import Iterator

from labs.trial import operations as op
from labs.trial.checker.kinds import Anomaly, Finding
from labs.trial.checker.tables import Tables


def unanswered(tables: Tables) -> Iterator[Finding]:
    """Questions without any answer, however often they were asked."""
    answered = {event.message for event in tables.of(op.ASK, "ok")}
    asked = {event.message: event for event in reversed(tables.of(op.ASK, "invoke"))}
    for message, event in asked.items():
        if message not in answered:
            yield Finding(Anomaly.UNANSWERED, event.at_ns, "was asked, and never answered", message=message)


def foreign(tables: Tables) -> Iterator[Finding]:
    """Answers that are not those of the question whose correlation id they bear."""
    due = {event.request: event.value for event in tables.of(op.ASK, "invoke")}
    for event in tables.of(op.ASK, "ok"):
        if event.value != due.get(event.request):
            text = f"was answered with {event.value!r} instead of {due.get(event.request)!r}"
            yield Finding(Anomaly.FOREIGN_ANSWER, event.at_ns, text, message=event.message)
