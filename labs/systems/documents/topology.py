"""Exchanges, queues and bindings of the document system: every event goes to everybody who wants any."""

from __future__ import annotations

from labs.messaging.topology import Binding, DeadLetters, Exchange, Topology, work_queue
from labs.settings import Settings

EXCHANGE = "bookspace.events"

NOTIFICATIONS_QUEUE = "bookspace.notifications"
SEARCH_QUEUE = "bookspace.search-index"
ANALYTICS_QUEUE = "bookspace.analytics"

#: Who must have had an event before it is settled.
QUEUES = (NOTIFICATIONS_QUEUE, SEARCH_QUEUE, ANALYTICS_QUEUE)

DEAD_LETTERS = DeadLetters(exchange=f"{EXCHANGE}.dlx", queue=f"{EXCHANGE}.dlq")


def topology(settings: Settings) -> Topology:
    """All of it, as these settings want it."""
    whole = Topology(
        exchanges=(Exchange(EXCHANGE, "fanout"),), bindings=tuple(Binding(EXCHANGE, queue) for queue in QUEUES)
    )
    for queue in QUEUES:
        whole += work_queue(
            queue,
            delays_ms=settings.retry_delays_ms,
            delivery_limit=settings.delivery_limit,
            dead_letters=DEAD_LETTERS,
        )
    return whole
