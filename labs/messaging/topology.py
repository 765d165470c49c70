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
class Route:
    """Where a message is published."""

    exchange: str
    key: str


@dataclass(frozen=True)
class DeadLetters:
    """One dead-letter queue for several work queues, behind an exchange that others may listen to as well."""

    exchange: str
    queue: str


@dataclass(frozen=True)
class Topology:
    """Exchanges, queues and bindings that belong together."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()

    def dead_letter_route(self, queue: str) -> Route:
        """How a dead letter of a work queue is published: as the broker itself would."""
        [arguments] = [each.arguments for each in self.queues if each.name == queue]
        return Route(str(arguments["x-dead-letter-exchange"]), str(arguments["x-dead-letter-routing-key"]))

    def dead_letter_queue(self, queue: str) -> str:
        """Name of the dead-letter queue of a work queue."""
        route = self.dead_letter_route(queue)
        bound = [binding.queue for binding in self.bindings if binding.exchange == route.exchange]
        return route.key if route.exchange == DEFAULT_EXCHANGE else bound[0]

    def reached(self, exchange: str, key: str) -> tuple[str, ...]:
        """The queues that get what is published to an exchange with this key; a `{part}` of it stands for any word."""
        if exchange == DEFAULT_EXCHANGE:
            return tuple(queue.name for queue in self.queues if queue.name == key)
        [kind] = [each.kind for each in self.exchanges if each.name == exchange]
        bound = (binding for binding in self.bindings if binding.exchange == exchange)
        return tuple(dict.fromkeys(each.queue for each in bound if _matches(kind, each.key, key)))

    def __add__(self, other: Topology) -> Topology:
        return Topology(
            tuple(dict.fromkeys(self.exchanges + other.exchanges)),
            _once(self.queues + other.queues),
            tuple(dict.fromkeys(self.bindings + other.bindings)),
        )


def _matches(kind: str, binding_key: str, key: str) -> bool:
    """Whether an exchange of that kind hands a message with this key to a binding."""
    if kind == "fanout":
        return True
    return _same_words(_words(binding_key), _words(key)) if kind == "topic" else binding_key == key


def _words(key: str) -> list[str]:
    return key.split(".") if key else []


def _same_words(pattern: Sequence[str], words: Sequence[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_same_words(pattern[1:], words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and pattern[0] in {"*", words[0]} and _same_words(pattern[1:], words[1:])


def _once(queues: Iterable[Queue]) -> tuple[Queue, ...]:
    return tuple({queue.name: queue for queue in queues}.values())


def retry_queue(queue: str, delay_ms: int) -> str:
    """Name of the queue in which a message of `queue` waits `delay_ms`."""
    return f"{queue}.retry.{delay_ms}"


def dead_letter_queue(queue: str) -> str:
    """Name of the dead-letter queue of `queue`, if it has one of its own."""
    return f"{queue}.dlq"


def work_queue(
    name: str, *, delays_ms: Sequence[int], delivery_limit: int = 20, dead_letters: DeadLetters | None = None
) -> Topology:
    """A quorum queue with its retry queues and its dead-letter queue.

    The broker's own delivery limit is a backstop for messages that kill their worker before it can
    count. Dead-lettering by the broker is at least once, which needs `reject-publish`. The dead-letter
    queue is classic: looking into a quorum queue raises the delivery count of what one looks at.

    Args:
        name: of the work queue.
        delays_ms: one retry queue for each.
        delivery_limit: deliveries after which the broker gives a message up.
        dead_letters: where those of several queues go; by default each queue has its own.
    """
    if dead_letters is None:
        route, behind = (
            Route(DEFAULT_EXCHANGE, dead_letter_queue(name)),
            Topology(queues=(Queue(dead_letter_queue(name)),)),
        )
    else:
        route, behind = Route(dead_letters.exchange, name), _shared(dead_letters)
    return Topology(queues=(_work(name, delivery_limit, route), *_retries(name, delays_ms))) + behind


def _shared(dead_letters: DeadLetters) -> Topology:
    return Topology(
        exchanges=(Exchange(dead_letters.exchange, "fanout"),),
        queues=(Queue(dead_letters.queue),),
        bindings=(Binding(dead_letters.exchange, dead_letters.queue),),
    )


def _work(name: str, delivery_limit: int, dead_letters: Route) -> Queue:
    return Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": delivery_limit,
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": dead_letters.exchange,
            "x-dead-letter-routing-key": dead_letters.key,
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
