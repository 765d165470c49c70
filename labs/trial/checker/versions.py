"""What became of versions: each thing only gets newer, and in the end is as new as anybody told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from labs.trial import operations as op
from labs.trial.checker.kinds import Anomaly, Finding
from labs.trial.checker.tables import Tables
from labs.trial.history import Event


def backwards(tables: Tables) -> Iterator[Finding]:
    """An older version was written over a newer one."""
    for thing, events in _by_thing(tables.of(op.VERSION, "ok")).items():
        wrong = next(((old, new) for old, new in pairwise(events) if new.count < old.count), None)
        if wrong:
            text = f"went from version {wrong[0].count} back to {wrong[1].count}"
            yield Finding(Anomaly.VERSION_BACKWARDS, wrong[1].at_ns, text, thing)


def missing(tables: Tables) -> Iterator[Finding]:
    """The newest version that was told of was never written."""
    written = _by_thing(tables.of(op.VERSION, "ok"))
    for thing, events in _by_thing(tables.of(op.VERSION, "invoke")).items():
        newest = max(events, key=lambda event: event.count)
        if newest.count > max((event.count for event in written.get(thing, ())), default=-1):
            text = f"was told of in version {newest.count}, and that was never written"
            yield Finding(Anomaly.VERSION_MISSING, newest.at_ns, text, thing)


def _by_thing(events: list[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event.job].append(event)
    return found
