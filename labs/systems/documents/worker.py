"""Three consumers of the same events, each with its own queue: none waits for another, none fails for another."""

from __future__ import annotations

from collections.abc import Sequence

from labs.systems.documents.analytics import count
from labs.systems.documents.messages import EVENTS
from labs.systems.documents.notifications import notify
from labs.systems.documents.search import index
from labs.systems.documents.topology import ANALYTICS_QUEUE, NOTIFICATIONS_QUEUE, SEARCH_QUEUE
from labs.systems.once import Effect, once
from labs.systems.system import Consuming, WorkerParts

#: What an event does, by queue.
EFFECTS: dict[str, Effect] = {NOTIFICATIONS_QUEUE: notify, SEARCH_QUEUE: index, ANALYTICS_QUEUE: count}


def consumers(parts: WorkerParts) -> Sequence[Consuming]:
    """Each event has each effect once."""
    return [once(parts, queue, EVENTS, effect) for queue, effect in EFFECTS.items()]
