"""What passes between a consumer and its handler: a delivery, the promises around it, and what is counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import Counter
from pydantic import BaseModel

from labs.messaging.message import Message, Schemas
from labs.messaging.retry import RetryPolicy
from labs.messaging.topology import Topology
from labs.telemetry import DELIVERIES


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a handler gets: a message, its parsed body, and how it came."""

    message: Message
    body: BaseModel
    queue: str
    exchange: str
    routing_key: str
    #: A hint only: a publisher's duplicate has it false.
    redelivered: bool
    received_at: datetime


Handler = Callable[[Delivery], Awaitable[None]]
#: Told after a message went to the dead-letter queue: the delivery and the reason.
OnDeadLetter = Callable[[Delivery, str], Awaitable[None]]


@dataclass
class ConsumerStatistics:
    """Counts since the start, of one consumer; the metrics of its queue count them too."""

    queue: str
    delivered: int = 0
    acknowledged: int = 0
    retried: int = 0
    deferred: int = 0
    dead_lettered: int = 0
    requeued: int = 0
    #: Handled, but the channel was gone before the ack: the broker will deliver it again.
    orphaned: int = 0
    connects: int = 0

    _metrics: dict[str, Counter] = field(default_factory=dict, init=False, repr=False)

    def count(self, outcome: str, number: int = 1) -> None:
        """So many more of an outcome, here and in the metrics."""
        setattr(self, outcome, getattr(self, outcome) + number)
        metric = self._metrics.get(outcome)
        if metric is None:  # looking one up by its labels costs more than counting
            metric = self._metrics[outcome] = DELIVERIES.labels(self.queue, outcome)
        metric.inc(number)


@dataclass(frozen=True, slots=True)
class ConsumerConfig:
    """What a consumer needs to know, besides its handler.

    Args:
        queue: the work queue; its retry and dead-letter queues are named after it.
        topology: declared on every new channel, so a deleted queue comes back.
        schemas: the message types that the handler understands.
        policy: when to try again.
        prefetch: most messages in hand at once, and so most handlers running at once.
        max_bytes: a larger body is dead-lettered unread.
        strangers: also take what has no envelope of ours; its type is its routing key.
    """

    queue: str
    topology: Topology
    schemas: Schemas
    policy: RetryPolicy
    prefetch: int = 100
    max_bytes: int = 1024 * 1024
    strangers: bool = False
