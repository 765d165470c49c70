"""What became of jobs: each ends once, forwards only, with its own result, and is told of once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from labs.trial import operations as op
from labs.trial.checker.kinds import Anomaly, Finding
from labs.trial.checker.tables import Tables
from labs.trial.history import Event

#: Steps that leave a job where it is; the others take it on.
_RANK = {op.PENDING: 0, op.PROCESSING: 1, **dict.fromkeys(op.TERMINAL, 2)}
_REDRIVEN = "redriven"


def gone(tables: Tables) -> Iterator[Finding]:
    """Accepted, and there is no row."""
    rows = tables.of(op.ROW)
    if not (rows or tables.promises.jobs):
        return
    known = {event.job for event in rows}
    for job, event in tables.accepted.items():
        if job not in known:
            yield Finding(Anomaly.GONE, event.at_ns, "was accepted, and there is no row of it", job)


def uninvited(tables: Tables) -> Iterator[Finding]:
    """Rows that nobody asked for."""
    asked = {event.request for event in tables.of(op.SUBMIT, "invoke")}
    for event in tables.of(op.ROW):
        if event.request not in asked:
            yield Finding(Anomaly.UNEXPECTED, event.at_ns, "has a row, and nobody asked for it", event.job)


def repeated(tables: Tables) -> Iterator[Finding]:
    """Requests of which there is more than one row."""
    first: dict[str, str] = {}
    for event in tables.of(op.ROW):
        other = first.setdefault(event.request, event.job)
        if event.request and other != event.job:
            yield Finding(Anomaly.TWO_JOBS, event.at_ns, f"was made of the request of job {other}", event.job)


def without_end(tables: Tables) -> Iterator[Finding]:
    """Rows whose job never ended; where there are no jobs, `without_effect` says it."""
    if not tables.promises.jobs:
        return
    for row in tables.of(op.ROW):
        steps = tables.steps.get(row.job, [])
        if not any(step.value in op.TERMINAL for step in steps):
            last = steps[-1].value if steps else "without any status"
            yield Finding(Anomaly.NO_END, row.at_ns, f"never ended: it is {last}", row.job)


def ended_late(tables: Tables) -> Iterator[Finding]:
    """Jobs that ended long after all had healed."""
    healed_ns = max((event.at_ns for event in tables.of(op.FAULT, "ok", "fail")), default=0)
    for job, accepted in tables.accepted.items():
        ends = [step.at_ns for step in tables.steps.get(job, ()) if step.value in op.TERMINAL]
        took_s = (min(ends) - max(healed_ns, accepted.at_ns)) / 1e9 if ends else 0.0
        if took_s > tables.promises.ends_within_s:
            text = f"ended {took_s:.0f} s after all had healed; promised are {tables.promises.ends_within_s:g} s"
            yield Finding(Anomaly.ENDED_LATE, min(ends), text, job)


def steps(tables: Tables) -> Iterator[Finding]:
    """Two results; a status that went back, or changed after the end; claims that were not counted one by one."""
    for job, events in tables.steps.items():
        completions = [event for event in events if event.value == op.COMPLETED]
        if len(completions) > 1:
            text = f"has {len(completions)} committed results"
            yield Finding(Anomaly.TWO_RESULTS, completions[1].at_ns, text, job)
            continue
        wrong = next((pair for pair in pairwise(events) if not _forwards(*pair)), None)
        if wrong:
            before, after = wrong
            text = f"went from {before.value} to {after.value}"
            yield Finding(Anomaly.STATUS_BACKWARDS, after.at_ns, text, job)
        claims = [event for event in events if event.value == op.PROCESSING]
        for number, claim in enumerate(claims, start=1):
            if claim.attempt != number:
                text = f"has claim {claim.attempt} where claim {number} was due"
                yield Finding(Anomaly.ATTEMPT_SKIPPED, claim.at_ns, text, job)
                break


def _forwards(before: Event, after: Event) -> bool:
    if before.value in op.TERMINAL:
        return before.value == op.FAILED and after.value == _REDRIVEN
    return _RANK.get(after.value, 1) >= _RANK.get(before.value, 1) or before.value not in _RANK


def messages_of_rows(tables: Tables) -> Iterator[Finding]:
    """A row if and only if there is a message of it; of a job that ended, one message that tells so."""
    rows = {event.job: event for event in tables.of(op.ROW)}
    asking: dict[str, Event] = {}
    telling: dict[str, list[Event]] = defaultdict(list)
    for event in tables.of(op.OUTBOX):
        if event.value == op.END:
            telling[event.job].append(event)
        else:
            asking[event.job] = event
    for job, row in rows.items():
        if job not in asking:
            yield Finding(Anomaly.ROW_WITHOUT_MESSAGE, row.at_ns, "has a row and no message in the outbox", job)
    for job, event in {**{job: events[0] for job, events in telling.items()}, **asking}.items():
        if job not in rows:
            text = "has a message in the outbox and no row"
            yield Finding(Anomaly.MESSAGE_WITHOUT_ROW, event.at_ns, text, job, event.message)
    yield from _told_once(tables, telling)


def _told_once(tables: Tables, telling: dict[str, list[Event]]) -> Iterator[Finding]:
    for job, events in telling.items():
        if len(events) > 1:
            text = f"has {len(events)} events that tell of its end"
            yield Finding(Anomaly.TWO_EVENTS, events[1].at_ns, text, job, events[1].message)
    if not tables.promises.jobs:
        return
    for job, events in tables.steps.items():
        ends = [event for event in events if event.value in (op.COMPLETED, op.FAILED)]
        if ends and job not in telling:
            yield Finding(Anomaly.END_WITHOUT_EVENT, ends[0].at_ns, f"is {ends[0].value}, and no event tells so", job)


def results(tables: Tables) -> Iterator[Finding]:
    """Each result speaks of its own request, and of one that the model was asked for."""
    asked = {event.request: event.value for event in tables.of(op.SUBMIT, "invoke")}
    wanted = {event.job: asked.get(event.request, "") for event in tables.of(op.ROW)}
    for event in tables.of(op.RESULT):
        want = wanted.get(event.job, "")
        if want and event.value != want:
            text = f"speaks of {event.value or 'nothing that was asked'} instead of {want}"
            yield Finding(Anomaly.FOREIGN_RESULT, event.at_ns, text, event.job)
    if tables.promises.asks_model:
        yield from _unasked(tables)


def _unasked(tables: Tables) -> Iterator[Finding]:
    begun: dict[str, int] = {}
    for event in tables.of(op.CALL, "invoke"):
        begun[event.job] = min(event.at_ns, begun.get(event.job, event.at_ns))
    answered = {event.job for event in tables.of(op.CALL, "ok")}
    for job, events in tables.steps.items():
        for event in events:
            if event.value == op.COMPLETED and (job not in answered or begun.get(job, event.at_ns) > event.at_ns):
                yield Finding(Anomaly.RESULT_WITHOUT_CALL, event.at_ns, "has a result that no model gave", job)
                break


def at_once(tables: Tables) -> Iterator[Finding]:
    """Answers for one job that were being made at the same time; a call without answer may have lost its worker."""
    begun: dict[str, int] = {}
    answered: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for event in tables.of(op.CALL):
        if event.kind == "invoke":
            begun[event.job] = event.at_ns
        elif event.kind == "ok" and event.job in begun:
            answered[event.job].append((begun.pop(event.job), event.at_ns))
    for job, spans in answered.items():
        for (_, ended), (since, _) in pairwise(sorted(spans)):
            if since < ended:
                text = f"was being done twice at once for {(ended - since) / 1e6:.0f} ms"
                yield Finding(Anomaly.TWO_AT_ONCE, since, text, job)
                break
