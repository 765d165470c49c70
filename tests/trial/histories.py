"""Histories of a system that keeps its promises, and ways to break each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st
from msgspec.structs import replace

from labs.trial import operations as op
from labs.trial.checker import Anomaly
from labs.trial.history import Event, Ids, Kind
from labs.trial.operations import Promises

PROMISES = Promises(
    queues=("work", "told"),
    asks_model=True,
    retry_delays_ms=(100, 200, 400),
    grace_s=5,
    unconfirmed=200,
    prefetch=30,
    consumers={"work": 2, "told": 2},
)
MS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What happens to a job on its way, all of it allowed."""

    failures: int = 0
    crashes: int = 0
    published_twice: bool = False
    first_confirm_lost: bool = False
    delivered_twice: bool = False
    submitted_twice: bool = False


PLANS = st.builds(
    Plan,
    failures=st.integers(0, 4),
    crashes=st.integers(0, 2),
    published_twice=st.booleans(),
    first_confirm_lost=st.booleans(),
    delivered_twice=st.booleans(),
    submitted_twice=st.booleans(),
)


class Writer:
    """Writes events one after the other, each a millisecond later."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now_ns = 0

    def add(self, process: str, kind: Kind, operation: str, ids: Ids | None = None, **more: object) -> None:
        about = ids or Ids()
        self.now_ns += MS
        self.events.append(
            Event(
                len(self.events),
                self.now_ns,
                process,
                kind,
                operation,
                about.request,
                about.job,
                about.message,
                about.queue,
                about.attempt,
                **more,  # type: ignore[arg-type]
            )
        )

    def job(self, number: int, plan: Plan) -> None:
        """The whole way of a job."""
        job, command, event = f"job-{number}", f"command-{number}", f"event-{number}"
        ids = Ids(request=f"request-{number}", job=job)
        self.add("client", "invoke", op.SUBMIT, Ids(request=ids.request), value=f"Company-{number}")
        if plan.submitted_twice:
            self.add("client", "info", op.SUBMIT, Ids(request=ids.request), error="timeout")
            self.add("client", "invoke", op.SUBMIT, Ids(request=ids.request), value=f"Company-{number}")
        self.add("database", "ok", op.ROW, ids)
        self.add("database", "ok", op.OUTBOX, Ids(job=job, message=command, queue="work"), value=op.REQUEST)
        self.add("database", "ok", op.STATUS, Ids(job=job), value=op.PENDING)
        self.add("client", "ok", op.SUBMIT, ids)
        self._published(command, "work", plan)
        done = self._worked(job, command, plan)
        self.add("database", "ok", op.OUTBOX, Ids(job=job, message=event, queue="told"), value=op.END)
        if done:
            self.add("database", "ok", op.RESULT, Ids(job=job), value=f"Company-{number}")
        self._settled(command, "work", min(plan.failures, 3) + 1)
        self._published(event, "told", Plan())
        self._delivered(event, "told", 1)
        self._effect(event, "told", op.DONE)
        self._settled(event, "told", 1)
        self._called(number)
        self._versions(number)

    def _called(self, number: int) -> None:
        """A question that is asked twice, since its first answer is late."""
        for request in (f"call-{number}-1", f"call-{number}-2"):
            self.add(
                "caller", "invoke", op.ASK, Ids(request=request, message=f"question-{number}"), value=f"yes-{number}"
            )
        self.add("caller", "info", op.ASK, Ids(request=f"call-{number}-1", message=f"question-{number}"))
        answer = Ids(request=f"call-{number}-2", message=f"question-{number}")
        self.add("caller", "ok", op.ASK, answer, value=f"yes-{number}")

    def _versions(self, number: int) -> None:
        """Versions that are told of in another order, and one of them twice; what is old is not written."""
        thing = Ids(job=f"document-{number}")
        for version in (2, 1, 3, 3):
            self.add("author", "invoke", op.VERSION, thing, count=version)
        for version in (2, 3, 3):
            self.add("database", "ok", op.VERSION, thing, count=version)

    def _published(self, message: str, key: str, plan: Plan, attempt: int = 1) -> None:
        ids = Ids(message=message, attempt=attempt)
        for _ in range(1 + plan.published_twice):
            self.add("relay", "invoke", op.PUBLISH, ids, value=key)
            if not plan.first_confirm_lost:
                self.add("relay", "ok", op.PUBLISH, ids, value=key)
                self.add("database", "ok", op.MARK, Ids(message=message))
        if plan.first_confirm_lost:
            self.add("relay", "info", op.PUBLISH, ids, value=key)

    def _delivered(self, message: str, queue: str, attempt: int, value: str = "") -> None:
        self.add("worker", "ok", op.DELIVER, Ids(message=message, queue=queue, attempt=attempt), value=value)

    def _settled(self, message: str, queue: str, attempt: int) -> None:
        self.add("worker", "ok", op.SETTLE, Ids(message=message, queue=queue, attempt=attempt), value=op.ACK)

    def _effect(self, message: str, queue: str, value: str) -> None:
        self.add("database", "ok", op.EFFECT, Ids(message=message, queue=queue), value=value)

    def _worked(self, job: str, command: str, plan: Plan) -> bool:
        """Every attempt, as claims; whether the last one gave a result."""
        claim = 0
        for attempt in range(1, 5):
            self._delivered(command, "work", attempt)
            for _ in range(plan.crashes if attempt == 1 else 0):
                claim += 1
                self.add("database", "ok", op.STATUS, Ids(job=job, attempt=claim), value=op.PROCESSING)
                self.add("database", "ok", op.STATUS, Ids(job=job, attempt=claim), value="lease expired")
                self._delivered(command, "work", attempt, op.REDELIVERED)
            claim += 1
            self.add("database", "ok", op.STATUS, Ids(job=job, attempt=claim), value=op.PROCESSING)
            self.add("model", "invoke", op.CALL, Ids(job=job))
            if attempt > plan.failures:
                self.add("model", "ok", op.CALL, Ids(job=job))
                self.add("database", "ok", op.STATUS, Ids(job=job, attempt=claim), value=op.COMPLETED)
                self._effect(command, "work", op.DONE)
                if plan.delivered_twice:
                    self._delivered(command, "work", attempt, op.REDELIVERED)
                    self._settled(command, "work", attempt)
                return True
            self.add("model", "fail", op.CALL, Ids(job=job), error="server_error")
            self.add("database", "ok", op.STATUS, Ids(job=job, attempt=claim), value="attempt failed")
            if attempt <= 3:
                delay_ms = PROMISES.retry_delays_ms[attempt - 1]
                self._published(command, f"work.retry.{delay_ms}", Plan(), attempt + 1)
                self._settled(command, "work", attempt)
                self.now_ns += delay_ms * MS
        self._published(command, "work.dlq", Plan(), 4)
        self.add("database", "ok", op.STATUS, Ids(job=job), value=op.FAILED)
        self._effect(command, "work", op.DEAD)
        return False


def written(plans: list[Plan]) -> list[Event]:
    """The history of a good trial: jobs, a fault in the middle, a worker that leaves, and the end."""
    writer = Writer()
    for number, plan in enumerate(plans):
        if number == len(plans) // 2:
            writer.add("nemesis", "invoke", op.FAULT, value="worker-kill")
            writer.add("nemesis", "info", op.FAULT, value="worker-kill", error="pid 17 is gone")
        writer.job(number, plan)
    writer.add("nemesis", "ok", op.FAULT, value="worker-kill")
    writer.add("worker-2", "invoke", op.TERMINATE)
    writer.now_ns += 3000 * MS
    writer.add("worker-2", "ok", op.TERMINATE)
    writer.add("relay", "info", op.UNCONFIRMED, count=200)
    writer.add("worker", "info", op.UNACKNOWLEDGED, count=30)
    writer.add("worker", "info", op.MEMORY, count=PROMISES.memory_mib)
    writer.add("runner", "ok", op.PHASE, value=op.DRAIN)
    for queue in PROMISES.queues:
        writer.add("broker", "info", op.DEPTH, Ids(queue=queue), count=0)
        writer.add("broker", "info", op.CONSUMERS, Ids(queue=queue), count=2)
    return writer.events


HISTORIES = st.lists(PLANS, min_size=1, max_size=12).map(written)

Corrupt = Callable[[list[Event], int], list[Event] | None]


def _at(events: list[Event], operation: str, number: int, **fields: object) -> int | None:
    """The position of one of the events of an operation with these fields."""
    found = [
        at
        for at, event in enumerate(events)
        if event.operation == operation and all(getattr(event, name) == value for name, value in fields.items())
    ]
    return found[number % len(found)] if found else None


def _without(events: list[Event], keep: Callable[[Event], bool]) -> list[Event]:
    return [event for event in events if keep(event)]


def _changed(events: list[Event], at: int | None, **fields: object) -> list[Event] | None:
    if at is None:
        return None
    return [*events[:at], replace(events[at], **fields), *events[at + 1 :]]  # type: ignore[arg-type]


def _once_more(events: list[Event], at: int | None, **fields: object) -> list[Event] | None:
    if at is None:
        return None
    return [*events, replace(events[at], at_ns=events[-1].at_ns + MS, **fields)]  # type: ignore[arg-type]


def _never_delivered(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.PUBLISH, n, kind="ok", value="told")
    message = events[at].message if at is not None else ""
    gone = {op.DELIVER, op.SETTLE, op.EFFECT}
    return _without(events, lambda e: e.message != message or e.operation not in gone)


def _never_published(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.PUBLISH, n, kind="ok", value="told")
    message = events[at].message if at is not None else ""
    return _without(events, lambda e: e.message != message or e.operation == op.OUTBOX)


def _two_at_once(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.CALL, n, kind="ok")
    if at is None:
        return None
    began = replace(events[at], kind="invoke", at_ns=events[at].at_ns - 1)
    return [*events[: at + 1], began, replace(events[at], at_ns=events[at].at_ns + MS), *events[at + 1 :]]


def _no_effect(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.EFFECT, n, queue="told")
    message = events[at].message if at is not None else ""
    return _without(events, lambda e: e.message != message or e.operation not in {op.EFFECT, op.SETTLE})


def _stuck(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.STATUS, n, value=op.PENDING)
    job = events[at].job if at is not None else ""
    ended = [*op.TERMINAL, op.END]
    return _without(events, lambda e: e.job != job or (e.value not in ended and e.operation != op.RESULT))


def _acked_early(events: list[Event], n: int) -> list[Event] | None:
    effect = _at(events, op.EFFECT, n, queue="told")
    assert effect is not None
    message = events[effect].message
    ack = _at(events, op.SETTLE, 0, message=message)
    return _changed(events, ack, at_ns=events[effect].at_ns - 1)


def _marked_early(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.PUBLISH, n, kind="invoke", value="told")
    assert at is not None
    return _changed(events, _at(events, op.MARK, 0, message=events[at].message), at_ns=events[at].at_ns)


def _returned(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.PUBLISH, n, kind="ok", value="told")
    return _changed(events, at, kind="fail", error="returned")


def _retried_early(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.DELIVER, n, attempt=2, value="")
    if at is None:
        return None
    sent = _at(events, op.PUBLISH, 0, kind="invoke", message=events[at].message, attempt=2)
    assert sent is not None
    return _changed(events, at, at_ns=events[sent].at_ns + 90 * MS)


def _attempt_skipped(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.DELIVER, n, queue="told")
    return _changed(events, at, attempt=3)


def _without_call(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.STATUS, n, value=op.COMPLETED)
    if at is None:
        return None
    return _without(events, lambda e: e.operation != op.CALL or e.job != events[at].job)


def _without_request(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.OUTBOX, n, value=op.REQUEST)
    return [*events[:at], *events[at + 1 :]] if at is not None else None


def _row_gone(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.ROW, n)
    events = [*events[:at], *events[at + 1 :]] if at is not None else events
    return [*events, Event(0, 0, "database", "ok", op.ROW, "request-x", "job-x")]


def _unanswered(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.ASK, n, kind="ok")
    return [*events[:at], *events[at + 1 :]] if at is not None else None


def _version_missing(events: list[Event], n: int) -> list[Event] | None:
    at = _at(events, op.VERSION, n, kind="ok", count=3)
    thing = events[at].job if at is not None else ""
    return _without(events, lambda e: (e.operation, e.kind, e.job, e.count) != (op.VERSION, "ok", thing, 3))


CORRUPTIONS: dict[Anomaly, Corrupt] = {
    Anomaly.LOST: _never_delivered,
    Anomaly.UNEXPECTED: lambda events, n: _once_more(events, _at(events, op.DELIVER, n), message="stranger", attempt=1),
    Anomaly.GONE: _row_gone,
    Anomaly.NEVER_PUBLISHED: _never_published,
    Anomaly.NO_EFFECT: _no_effect,
    Anomaly.NO_END: _stuck,
    Anomaly.UNANSWERED: _unanswered,
    Anomaly.VERSION_MISSING: _version_missing,
    Anomaly.MISDIRECTED: lambda events, n: _once_more(events, _at(events, op.EFFECT, n, queue="told"), queue="audit"),
    Anomaly.DONE_TWICE: lambda events, n: _once_more(events, _at(events, op.EFFECT, n, value=op.DONE)),
    Anomaly.TWO_JOBS: lambda events, n: _once_more(events, _at(events, op.ROW, n), job="another"),
    Anomaly.TWO_RESULTS: lambda events, n: _once_more(events, _at(events, op.STATUS, n, value=op.COMPLETED)),
    Anomaly.TWO_AT_ONCE: _two_at_once,
    Anomaly.TWO_EVENTS: lambda events, n: _once_more(events, _at(events, op.OUTBOX, n, value=op.END)),
    Anomaly.END_WITHOUT_EVENT: lambda events, n: _without(
        events, lambda e: e.operation != op.OUTBOX or e.value != op.END
    ),
    Anomaly.ROW_WITHOUT_MESSAGE: _without_request,
    Anomaly.MESSAGE_WITHOUT_ROW: lambda events, n: _once_more(
        events, _at(events, op.OUTBOX, n, value=op.REQUEST), job="nobody's"
    ),
    Anomaly.ACK_BEFORE_COMMIT: _acked_early,
    Anomaly.MARKED_BEFORE_CONFIRM: _marked_early,
    Anomaly.MARKED_AFTER_RETURN: _returned,
    Anomaly.STATUS_BACKWARDS: lambda events, n: _once_more(
        events, _at(events, op.STATUS, n, value=op.PENDING), value=op.PENDING
    ),
    Anomaly.VERSION_BACKWARDS: lambda events, n: _once_more(
        events, _at(events, op.VERSION, n, kind="ok", count=3), count=1
    ),
    Anomaly.FOREIGN_ANSWER: lambda events, n: _changed(events, _at(events, op.ASK, n, kind="ok"), value="no"),
    Anomaly.FOREIGN_RESULT: lambda events, n: _changed(events, _at(events, op.RESULT, n), value="Company-x"),
    Anomaly.RESULT_WITHOUT_CALL: _without_call,
    Anomaly.TOO_MANY_ATTEMPTS: lambda events, n: _once_more(events, _at(events, op.DELIVER, n), attempt=5),
    Anomaly.ATTEMPT_SKIPPED: _attempt_skipped,
    Anomaly.RETRY_TOO_EARLY: _retried_early,
    Anomaly.QUEUE_NOT_EMPTY: lambda events, n: _changed(events, _at(events, op.DEPTH, n), count=1),
    Anomaly.CONSUMER_NOT_BACK: lambda events, n: _changed(events, _at(events, op.CONSUMERS, n), count=1),
    Anomaly.SIGTERM_BEYOND_GRACE: lambda events, n: _once_more(events, _at(events, op.TERMINATE, 0, kind="ok"),
                                                               kind="fail"),
    Anomaly.ENDED_LATE: lambda events, n: _changed(
        events, _at(events, op.STATUS, n, value=op.COMPLETED), at_ns=events[-1].at_ns + 301_000 * MS
    ),
    Anomaly.MEMORY_EXCEEDED: lambda events, n: _changed(events, _at(events, op.MEMORY, 0), count=601),
    Anomaly.WINDOW_EXCEEDED: lambda events, n: _changed(events, _at(events, op.UNCONFIRMED, 0), count=201),
}  # fmt: skip

#: What such a corruption can't do without breaking as well.
BESIDES: dict[Anomaly, set[Anomaly]] = {
    Anomaly.LOST: {Anomaly.NO_EFFECT},
    Anomaly.NEVER_PUBLISHED: {Anomaly.NO_EFFECT},
    Anomaly.GONE: {Anomaly.MESSAGE_WITHOUT_ROW, Anomaly.UNEXPECTED, Anomaly.NO_END, Anomaly.ROW_WITHOUT_MESSAGE},
    Anomaly.MESSAGE_WITHOUT_ROW: {Anomaly.ROW_WITHOUT_MESSAGE},
    Anomaly.TWO_JOBS: {Anomaly.ROW_WITHOUT_MESSAGE, Anomaly.NO_END},
    Anomaly.ATTEMPT_SKIPPED: {Anomaly.RETRY_TOO_EARLY},
}
