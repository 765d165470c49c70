"""Exchange, queues and bindings of the resume system."""

from __future__ import annotations

from labs.messaging.topology import Binding, Exchange, Topology, work_queue
from labs.settings import Settings

EXCHANGE = "woragis.tasks"

GENERATE_QUEUE = "resumes.queue"
WEBHOOK_QUEUE = "resumes.webhooks"

GENERATE_KEY = "resumes.generate"
COMPLETED_KEY = "resumes.completed"
FAILED_KEY = "resumes.failed"


def topology(settings: Settings) -> Topology:
    """All of it, as these settings want it."""
    queues = Topology()
    for name in (GENERATE_QUEUE, WEBHOOK_QUEUE):
        queues += work_queue(name, delays_ms=settings.retry_delays_ms, delivery_limit=settings.delivery_limit)
    bindings = (
        Binding(EXCHANGE, GENERATE_QUEUE, GENERATE_KEY),
        Binding(EXCHANGE, WEBHOOK_QUEUE, COMPLETED_KEY),
        Binding(EXCHANGE, WEBHOOK_QUEUE, FAILED_KEY),
    )
    return Topology(exchanges=(Exchange(EXCHANGE, "direct"),), bindings=bindings) + queues
