"""What became of processes and queues: consumers back, queues empty, SIGTERM in time, windows kept."""

from __future__ import annotations

from collections.abc import Iterator

from labs.trial import operations as op
from labs.trial.checker.kinds import Anomaly, Finding
from labs.trial.checker.tables import Tables

#: To stop Python, and to leave the broker in good order.
_LEAVING_S = 5.0


def at_rest(tables: Tables) -> Iterator[Finding]:
    """Queues that are not empty, or have fewer consumers than before, after all has healed."""
    for event in tables.of(op.DEPTH):
        if event.count > 0:
            text = f"holds {event.count} messages after all has healed"
            yield Finding(Anomaly.QUEUE_NOT_EMPTY, event.at_ns, text, queue=event.queue)
    for event in tables.of(op.CONSUMERS):
        before = tables.promises.consumers.get(event.queue, 0)
        if event.count < before:
            text = f"has {event.count} consumers after all has healed, and had {before}"
            yield Finding(Anomaly.CONSUMER_NOT_BACK, event.at_ns, text, queue=event.queue)


def memory(tables: Tables) -> Iterator[Finding]:
    """Processes that took more memory than promised, each once."""
    limit, found = tables.promises.memory_mib, set()
    for event in tables.of(op.MEMORY):
        if event.count > limit and event.process not in found:
            found.add(event.process)
            text = f"{event.process} took {event.count} MiB; promised are {limit}"
            yield Finding(Anomaly.MEMORY_EXCEEDED, event.at_ns, text)


def endings(tables: Tables) -> Iterator[Finding]:
    """Processes that were told to end, and took longer than promised."""
    told = {event.process: event.at_ns for event in tables.of(op.TERMINATE, "invoke")}
    for event in tables.of(op.TERMINATE, "ok", "fail"):
        took_s = (event.at_ns - told.get(event.process, event.at_ns)) / 1e9
        grace_s = tables.promises.grace_s
        if event.kind == "fail" or took_s > grace_s + _LEAVING_S:
            killed = " and was killed" if event.kind == "fail" else ""
            text = f"took {took_s:.1f} s to end{killed}; promised are {grace_s:g} s"
            yield Finding(Anomaly.SIGTERM_BEYOND_GRACE, event.at_ns, f"{event.process} {text}")


def windows(tables: Tables) -> Iterator[Finding]:
    """Channels with more publishes unconfirmed, or deliveries unacknowledged, at once than promised."""
    for operation, limit in (
        (op.UNCONFIRMED, tables.promises.unconfirmed),
        (op.UNACKNOWLEDGED, tables.promises.prefetch),
    ):
        for event in tables.of(operation):
            if event.count > limit:
                text = f"{event.process} had {event.count} messages {operation} at once; promised are {limit}"
                yield Finding(Anomaly.WINDOW_EXCEEDED, event.at_ns, text)
