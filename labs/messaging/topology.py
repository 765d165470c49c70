"""A topology is data: exchanges, queues and bindings, declared from one object as often as one likes.

Retrying works without a plugin from RabbitMQ 3.10 to 4.3: one quorum queue per delay, whose messages
expire back into the work queue. A delay fixed per queue has no head-of-line blocking, and it is in
the queue's name because arguments of an existing queue can't change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from labs.messaging.connection import Channel

#: The exchange that routes to the queue named by the routing key; it needs no binding.
DEFAULT_EXCHANGE = ""

Arguments = Mapping[str, str | int | bool]


@dataclass(frozen=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: Literal["direct", "topic", "fanout", "headers"] = "topic"


@dataclass(frozen=True)
class Queue:
    """A durable queue and its arguments."""

    name: str
    arguments: Arguments = field(default_factory=dict)


@dataclass(frozen=True)
class Binding:
    """Messages that an exchange gets with this key are copied to the queue."""

    exchange: str
    queue: str
    key: str = ""


@dataclass(frozen=True)
class Topology:
    """Exchanges, queues and bindings that belong together."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()

    def __add__(self, other: Topology) -> Topology:
        return Topology(
            tuple(dict.fromkeys(self.exchanges + other.exchanges)),
            _once(self.queues + other.queues),
            tuple(dict.fromkeys(self.bindings + other.bindings)),
        )


def _once(queues: Iterable[Queue]) -> tuple[Queue, ...]:
    return tuple({queue.name: queue for queue in queues}.values())


def retry_queue(queue: str, delay_ms: int) -> str:
    """Name of the queue in which a message of `queue` waits `delay_ms`."""
    return f"{queue}.retry.{delay_ms}"


def dead_letter_queue(queue: str) -> str:
    """Name of the dead-letter queue of `queue`."""
    return f"{queue}.dlq"


def work_queue(name: str, *, delays_ms: Sequence[int], delivery_limit: int = 20) -> Topology:
    """A quorum queue with its retry queues and its dead-letter queue.

    The broker's own delivery limit is a backstop for messages that kill their worker before it can
    count. Dead-lettering by the broker is at least once, which needs `reject-publish`. The dead-letter
    queue is classic: looking into a quorum queue raises the delivery count of what one looks at.
    """
    return Topology(queues=(_work(name, delivery_limit), *_retries(name, delays_ms), Queue(dead_letter_queue(name))))


def _work(name: str, delivery_limit: int) -> Queue:
    return Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": delivery_limit,
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": DEFAULT_EXCHANGE,
            "x-dead-letter-routing-key": dead_letter_queue(name),
            "x-dead-letter-strategy": "at-least-once",
        },
    )


def _retries(name: str, delays_ms: Iterable[int]) -> list[Queue]:
    return [
        Queue(
            retry_queue(name, delay_ms),
            {
                "x-queue-type": "quorum",
                "x-message-ttl": delay_ms,
                "x-overflow": "reject-publish",
                "x-dead-letter-exchange": DEFAULT_EXCHANGE,
                "x-dead-letter-routing-key": name,
                "x-dead-letter-strategy": "at-least-once",
            },
        )
        for delay_ms in sorted(set(delays_ms))
    ]


async def declare(channel: Channel, topology: Topology) -> None:
    """Declare a topology; harmless if it exists as it is.

    Raises:
        TopologyMismatch: an exchange or queue of that name exists with other arguments.
        BrokerRefused: the user may not declare it.
    """
    for exchange in topology.exchanges:
        await channel.declare_exchange(exchange.name, kind=exchange.kind)
    for queue in topology.queues:
        await channel.declare_queue(queue.name, arguments=queue.arguments)
    for binding in topology.bindings:
        await channel.bind_queue(binding.queue, exchange=binding.exchange, key=binding.key)
