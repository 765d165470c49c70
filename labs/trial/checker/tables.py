"""A history sorted for its checks: by operation, and by what the operations are about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from labs.trial import operations as op
from labs.trial.history import Event
from labs.trial.operations import Promises


@dataclass(frozen=True)
class Expected:
    """A message that must have an effect at each of its consumers."""

    message: str
    job: str
    at_ns: int
    consumers: tuple[str, ...]


class Tables:
    """What the checks look at."""

    def __init__(self, events: Iterable[Event], promises: Promises) -> None:
        self.promises = promises
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._by_kind: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in events:
            self._events[event.operation].append(event)
            self._by_kind[event.operation, event.kind].append(event)

    def of(self, operation: str, *kinds: str) -> list[Event]:
        """The events of an operation in the order of their indexes; of these kinds, if some are named."""
        match kinds:
            case ():
                return self._events.get(operation, [])
            case (kind,):
                return self._by_kind.get((operation, kind), [])
        return [event for event in self._events.get(operation, []) if event.kind in kinds]

    @cached_property
    def start_ns(self) -> int:
        """When the first event happened."""
        return min((event.at_ns for events in self._events.values() for event in events), default=0)

    @cached_property
    def attempted(self) -> dict[str, Event]:
        """The first publish of each message."""
        return _first(self.of(op.PUBLISH, "invoke"))

    @cached_property
    def confirmed(self) -> dict[str, Event]:
        """The first confirm of each message."""
        return _first(self.of(op.PUBLISH, "ok"))

    @cached_property
    def delivered(self) -> dict[str, Event]:
        """The first delivery of each message."""
        return _first(self.of(op.DELIVER))

    @cached_property
    def effects(self) -> dict[tuple[str, str], list[Event]]:
        """The effects of each message at each queue's consumer."""
        found: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in self.of(op.EFFECT):
            found[event.queue, event.message].append(event)
        return found

    @cached_property
    def expected(self) -> list[Expected]:
        """Who must have which effects: as the outbox says, or where there is none all that was said to be published."""
        outbox = self.of(op.OUTBOX)
        if outbox:
            return [Expected(e.message, e.job, e.at_ns, tuple(filter(None, e.queue.split(",")))) for e in outbox]
        return [Expected(e.message, e.job, e.at_ns, self.promises.queues) for e in self.of(op.MARK, "ok")]

    @cached_property
    def accepted(self) -> dict[str, Event]:
        """The answer that accepted each job."""
        return {event.job: event for event in reversed(self.of(op.SUBMIT, "ok"))}

    @cached_property
    def steps(self) -> dict[str, list[Event]]:
        """The steps of each job, in the order in which the database wrote them."""
        found: dict[str, list[Event]] = defaultdict(list)
        for event in self.of(op.STATUS):
            found[event.job].append(event)
        return found


def _first(events: list[Event]) -> dict[str, Event]:
    found: dict[str, Event] = {}
    for event in events:
        known = found.get(event.message)
        if known is None or event.at_ns < known.at_ns:
            found[event.message] = event
    return found
