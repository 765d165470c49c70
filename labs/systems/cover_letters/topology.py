"""Exchange, queues and bindings of the cover-letter system."""

from __future__ import annotations

from labs.messaging.topology import Binding, Exchange, Topology, work_queue
from labs.settings import Settings

EXCHANGE = "cover-letter"

GENERATE_QUEUE = "cover-letter.generate"
EMAIL_QUEUE = "notifications.email"
ANALYTICS_QUEUE = "analytics.process"

GENERATE_KEY = "cover-letter.generate"
COMPLETED_KEY = "cover-letter.completed"
FAILED_KEY = "cover-letter.failed"

#: Who must have had an event before it is settled.
EVENT_QUEUES = (EMAIL_QUEUE, ANALYTICS_QUEUE)


def topology(settings: Settings) -> Topology:
    """All of it, as these settings want it."""
    queues = Topology()
    for name in (GENERATE_QUEUE, *EVENT_QUEUES):
        queues += work_queue(name, delays_ms=settings.retry_delays_ms, delivery_limit=settings.delivery_limit)
    bindings = [Binding(EXCHANGE, GENERATE_QUEUE, GENERATE_KEY)]
    bindings += [Binding(EXCHANGE, queue, key) for queue in EVENT_QUEUES for key in (COMPLETED_KEY, FAILED_KEY)]
    return Topology(exchanges=(Exchange(EXCHANGE, "topic"),), bindings=tuple(bindings)) + queues
