"""The checker of trials: how long a history of a million events takes, from the file to the verdict.

The history is a valid one of jobs with a row, two messages through the outbox, a claim, a call to the model and two
effects; every second job fails once and is tried again, every third event is delivered twice. A valid history is the
longest to check: every check runs to its end. Times are of the CPU, so that who else uses the machine counts little.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Figure
from labs.trial import operations as op
from labs.trial.checker import Verdict, check
from labs.trial.history import Event, Kind, line_of, read
from labs.trial.operations import Promises

_EVENTS, _QUICK_EVENTS = 1_000_000, 50_000
_WORK, _TOLD = "work", "told"
_DELAY_MS = 100
_PROMISES = Promises(queues=(_WORK, _TOLD), asks_model=True, retry_delays_ms=(_DELAY_MS,), prefetch=30)

_Part = tuple[str, Kind, str, dict[str, str | int]]


def checker(*, quick: bool = False) -> list[Figure]:
    """Read and check it once; seconds are of a million events, with `quick` reckoned from fewer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(map(line_of, _history(_QUICK_EVENTS if quick else _EVENTS)))
        began = time.process_time()
        events = read(path)
        was_read = time.process_time()
        result = check(events, _PROMISES)
        ended = time.process_time()
    if result.verdict != Verdict.VALID:
        raise RuntimeError(f"the history was to be valid, and is {result.verdict}: {result.why}")
    scale = _EVENTS / len(events)
    return [
        Figure("checker: a million events read", (was_read - began) * scale, "s of CPU"),
        Figure("  checked", (ended - was_read) * scale, "s of CPU"),
        Figure("  both", (ended - began) * scale, "s of CPU", at_most=10),
    ]


def _history(events: int) -> Iterator[Event]:
    """At least so many events, each a retry's delay after the one before."""
    fault: list[_Part] = [("nemesis", kind, op.FAULT, {"value": "none"}) for kind in ("invoke", "info")]
    rest: list[_Part] = [("runner", "ok", op.PHASE, {"value": op.DRAIN})]
    index = 0
    for number in itertools.count():
        whole = number > 0 and index >= events
        for process, kind, operation, about in rest if whole else [*(fault if number == 0 else ()), *_job(number)]:
            yield Event(index, index * _DELAY_MS * 1_000_000, process, kind, operation, **about)
            index += 1
        if whole:
            return


def _job(number: int) -> Iterator[_Part]:
    """The whole way of a job."""
    job, request, asks, tells = (f"{what}-{number:08}" for what in ("job", "request", "command", "event"))
    mine: dict[str, str | int] = {"job": job}
    fails = number % 2 == 0
    yield "client", "invoke", op.SUBMIT, {"request": request, "value": f"Company-{number}"}
    yield "database", "ok", op.ROW, {"request": request, "job": job}
    yield "database", "ok", op.OUTBOX, {"job": job, "message": asks, "queue": _WORK, "value": op.REQUEST}
    yield "database", "ok", op.STATUS, {"job": job, "value": op.PENDING}
    yield "client", "ok", op.SUBMIT, {"request": request, "job": job}
    yield from _published(asks, _WORK)
    if fails:
        yield "worker", "ok", op.DELIVER, {"message": asks, "queue": _WORK, "attempt": 1}
        yield from _claimed(job, 1)
        yield "model", "fail", op.CALL, mine | {"error": "server_error"}
        yield from _published(asks, f"{_WORK}.retry.{_DELAY_MS}", attempt=2)
        yield "worker", "ok", op.SETTLE, {"message": asks, "queue": _WORK, "attempt": 1, "value": op.ACK}
    yield "worker", "ok", op.DELIVER, {"message": asks, "queue": _WORK, "attempt": 1 + fails}
    yield from _claimed(job, 1 + fails)
    yield "model", "ok", op.CALL, mine
    yield "database", "ok", op.STATUS, {"job": job, "attempt": 1 + fails, "value": op.COMPLETED}
    yield "database", "ok", op.OUTBOX, {"job": job, "message": tells, "queue": _TOLD, "value": op.END}
    yield "database", "ok", op.RESULT, {"job": job, "value": f"Company-{number}"}
    yield "database", "ok", op.EFFECT, {"message": asks, "queue": _WORK, "value": op.DONE}
    yield "worker", "ok", op.SETTLE, {"message": asks, "queue": _WORK, "attempt": 1 + fails, "value": op.ACK}
    yield from _published(tells, _TOLD)
    yield "database", "ok", op.EFFECT, {"message": tells, "queue": _TOLD, "value": op.DONE}
    for _ in range(1 + (number % 3 == 0)):
        yield "worker", "ok", op.DELIVER, {"message": tells, "queue": _TOLD, "attempt": 1, "value": op.REDELIVERED}
        yield "worker", "ok", op.SETTLE, {"message": tells, "queue": _TOLD, "attempt": 1, "value": op.ACK}


def _published(message: str, key: str, *, attempt: int = 1) -> Iterator[_Part]:
    yield "relay", "invoke", op.PUBLISH, {"message": message, "attempt": attempt, "value": key}
    yield "relay", "ok", op.PUBLISH, {"message": message, "attempt": attempt, "value": key}
    if attempt == 1:
        yield "database", "ok", op.MARK, {"message": message}


def _claimed(job: str, attempt: int) -> Iterator[_Part]:
    yield "database", "ok", op.STATUS, {"job": job, "attempt": attempt, "value": op.PROCESSING}
    yield "model", "invoke", op.CALL, {"job": job}
