"""What became of messages: lost, unexpected, done twice, acked or marked too early, tried too often or too soon."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from labs.trial import operations as op
from labs.trial.checker.kinds import Anomaly, Finding
from labs.trial.checker.tables import Tables
from labs.trial.history import Event

#: Of a retry queue, after the name of its work queue.
_RETRY = re.compile(r"\.retry\.(\d+)$")
#: The broker counts whole milliseconds, and begins before we see the confirm.
_TOLERANCE_NS = 5_000_000
_RETURNED = "returned"


def counts(tables: Tables) -> dict[str, int]:
    """How many messages were what, in Jepsen's terms."""
    published = Counter(event.message for event in tables.of(op.PUBLISH, "invoke"))
    received = Counter((event.queue, event.message) for event in tables.of(op.DELIVER))
    duplicated = {message for (_, message), times in received.items() if times > published[message]}
    recovered = tables.delivered.keys() & tables.attempted.keys() - tables.confirmed.keys()
    return {
        "attempted": len(tables.attempted),
        "confirmed": len(tables.confirmed),
        "delivered": len(tables.delivered),
        "lost": len(tables.confirmed.keys() - tables.delivered.keys()),
        "unexpected": len(tables.delivered.keys() - tables.attempted.keys()),
        "duplicated": len(duplicated),
        "recovered": len(recovered),
    }


def lost(tables: Tables) -> Iterator[Finding]:
    """Confirmed and never delivered."""
    for message, event in tables.confirmed.items():
        if message not in tables.delivered:
            yield Finding(Anomaly.LOST, event.at_ns, "was confirmed and never delivered", message=message)


def unexpected(tables: Tables) -> Iterator[Finding]:
    """Delivered, never attempted."""
    for message, event in tables.delivered.items():
        if message not in tables.attempted:
            yield Finding(
                Anomaly.UNEXPECTED, event.at_ns, "was delivered, and nobody published it", "", message, event.queue
            )


def never_published(tables: Tables) -> Iterator[Finding]:
    """Messages that lie in the outbox for a consumer, and nobody sent or claims to have sent them to the broker."""
    marked = {event.message for event in tables.of(op.MARK)}
    for event in tables.of(op.OUTBOX):
        if event.queue and event.message not in tables.attempted and event.message not in marked:
            text = "lies in the outbox and was never published"
            yield Finding(Anomaly.NEVER_PUBLISHED, event.at_ns, text, event.job, event.message, event.queue)


def without_effect(tables: Tables) -> Iterator[Finding]:
    """Messages that a consumer never had an effect of."""
    for expected in tables.expected:
        for queue in expected.consumers:
            if (queue, expected.message) not in tables.effects:
                yield Finding(
                    Anomaly.NO_EFFECT, expected.at_ns, f"never had an effect at {queue}", expected.job,
                    expected.message, queue,
                )  # fmt: skip


def misdirected(tables: Tables) -> Iterator[Finding]:
    """Effects at a consumer for whom the message is not, as far as the outbox says for whom it is."""
    consumers = {event.message: event.queue.split(",") for event in tables.of(op.OUTBOX)}
    for (queue, message), events in tables.effects.items():
        if queue not in consumers.get(message, (queue,)):
            text = f"is not for {queue}, and had an effect there"
            yield Finding(Anomaly.MISDIRECTED, events[0].at_ns, text, events[0].job, message, queue)


def done_twice(tables: Tables) -> Iterator[Finding]:
    """Messages that a consumer had more than one effect of."""
    for (queue, message), events in tables.effects.items():
        done = [event for event in events if event.value == op.DONE]
        if len(done) > 1:
            yield Finding(
                Anomaly.DONE_TWICE, done[1].at_ns, f"had {len(done)} effects at {queue}", done[1].job, message, queue
            )


def miscounted(tables: Tables) -> Iterator[Finding]:
    """Consumers whose own table shows another number of effects than they had messages."""
    for event in tables.of(op.TALLY):
        done = sum(
            effect.value == op.DONE
            for (queue, _), effects in tables.effects.items()
            if queue == event.queue
            for effect in effects
        )
        if event.count != done:
            anomaly = Anomaly.DONE_TWICE if event.count > done else Anomaly.NO_EFFECT
            text = f"shows {event.count} effects of {done} messages"
            yield Finding(anomaly, event.at_ns, text, queue=event.queue)


def acked_early(tables: Tables) -> Iterator[Finding]:
    """Acked before the effect was committed, or the message was safe elsewhere: in a retry or a dead-letter queue."""
    moved = _moves(tables)
    begun = _times(tables.of(op.DELIVER))
    for event in tables.of(op.SETTLE):
        key = (event.queue, event.message)
        if event.value != op.ACK or event.queue not in tables.promises.queues:
            continue
        if any(effect.at_ns <= event.at_ns for effect in tables.effects.get(key, ())):
            continue
        since = min(begun.get(event.message, [0]))
        if not any(since <= sent_ns and safe_ns <= event.at_ns for sent_ns, safe_ns in moved.get(event.message, ())):
            yield Finding(
                Anomaly.ACK_BEFORE_COMMIT, event.at_ns, f"was acked at {event.queue} with nothing committed", event.job,
                event.message, event.queue,
            )  # fmt: skip


def marked_early(tables: Tables) -> Iterator[Finding]:
    """Marked as published before its confirm, or after a return that no confirm has followed."""
    confirmed = _times(tables.of(op.PUBLISH, "ok"))
    returned = _times(event for event in tables.of(op.PUBLISH, "fail") if event.error == _RETURNED)
    for event in tables.of(op.MARK, "ok"):
        since = max((at_ns for at_ns in returned.get(event.message, ()) if at_ns <= event.at_ns), default=-1)
        if any(since < at_ns <= event.at_ns for at_ns in confirmed.get(event.message, ())):
            continue
        if event.message in returned:
            anomaly, text = Anomaly.MARKED_AFTER_RETURN, "counts as published, and was returned"
        else:
            anomaly, text = Anomaly.MARKED_BEFORE_CONFIRM, "counted as published before it was confirmed"
        yield Finding(anomaly, event.at_ns, text, event.job, event.message)


def attempts(tables: Tables) -> Iterator[Finding]:
    """More attempts than promised, or attempts that were not counted one by one."""
    seen: dict[tuple[str, str], set[int]] = defaultdict(set)
    for event in tables.of(op.DELIVER):
        if event.queue not in tables.promises.queues:
            continue
        before = seen[event.queue, event.message]
        if event.attempt > tables.promises.attempts:
            text = f"came as attempt {event.attempt} of {tables.promises.attempts} at {event.queue}"
            yield Finding(Anomaly.TOO_MANY_ATTEMPTS, event.at_ns, text, event.job, event.message, event.queue)
        elif event.attempt > 1 and event.attempt - 1 not in before:
            text = f"came as attempt {event.attempt} at {event.queue} without attempt {event.attempt - 1}"
            yield Finding(Anomaly.ATTEMPT_SKIPPED, event.at_ns, text, event.job, event.message, event.queue)
        before.add(event.attempt)


def given_back_for_ever(tables: Tables) -> Iterator[Finding]:
    """Given back to the queue more often than there are attempts: a loop that no counter ends."""
    back = Counter((e.queue, e.message) for e in tables.of(op.SETTLE) if e.value != op.ACK)
    limit = tables.promises.attempts
    for event in tables.of(op.SETTLE):
        times = back.get((event.queue, event.message), 0)
        if times > limit:
            del back[event.queue, event.message]
            text = f"was given back {times} times at {event.queue}"
            yield Finding(Anomaly.TOO_MANY_ATTEMPTS, event.at_ns, text, event.job, event.message, event.queue)


def retried_early(tables: Tables) -> Iterator[Finding]:
    """Delivered again before the delay of its retry queue was over."""
    sent: dict[tuple[str, str, int], list[tuple[int, int]]] = defaultdict(list)
    for event in tables.of(op.PUBLISH, "invoke"):
        delay = _RETRY.search(event.value)
        if delay:
            queue = event.value[: delay.start()]
            sent[queue, event.message, event.attempt].append((event.at_ns, int(delay[1])))
    for event in tables.of(op.DELIVER):
        waits = sent.get((event.queue, event.message, event.attempt), ())
        if event.attempt < 2 or not waits or event.value == op.REDELIVERED:
            continue
        at_ns, delay_ms = min(waits)
        waited_ns = event.at_ns - at_ns
        if waited_ns + _TOLERANCE_NS < delay_ms * 1_000_000:
            text = f"came back to {event.queue} after {waited_ns / 1e6:.0f} of {delay_ms} ms"
            yield Finding(Anomaly.RETRY_TOO_EARLY, event.at_ns, text, event.job, event.message, event.queue)


def _moves(tables: Tables) -> dict[str, list[tuple[int, int]]]:
    """When each message was published and confirmed; the latest publish of a program is the one that is confirmed."""
    sent: dict[tuple[str, str, str], int] = {}
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for event in tables.of(op.PUBLISH):
        key = (event.process, event.message, event.value)
        if event.kind == "invoke":
            sent[key] = event.at_ns
        elif event.kind == "ok":
            found[event.message].append((sent.get(key, event.at_ns), event.at_ns))
    return found


def _times(events: Iterable[Event]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for event in events:
        found[event.message].append(event.at_ns)
    return found
