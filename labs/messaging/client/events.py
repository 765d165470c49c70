"""Events as a callback gets them, and the queue that they wait in: durable, with retries and dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import RootModel

from labs.messaging.consumer import Consumer
from labs.messaging.delivery import ConsumerConfig, Delivery, OnDeadLetter
from labs.messaging.message import Message, Schemas
from labs.messaging.objects import decode
from labs.messaging.publisher import Publisher
from labs.messaging.retry import RetryPolicy
from labs.messaging.topology import Binding, Exchange, Topology, work_queue
from labs.settings import Settings


class Received(dict[str, Any]):
    """The body of an event, and the delivery that it came with."""

    def __init__(self, body: Mapping[str, Any], delivery: Delivery) -> None:
        super().__init__(body)
        self.delivery = delivery

    @property
    def message_id(self) -> str:
        """The same on every attempt and for every duplicate: what an idempotent callback remembers."""
        return self.delivery.message.message_id


Callback = Callable[[Received], Awaitable[None]]


class AnyObject(Schemas):
    """Any JSON object, whatever its type."""

    def parse(self, message: Message) -> RootModel[dict[str, Any]]:
        return RootModel[dict[str, Any]](decode(message.body, max_bytes=len(message.body)))


def event_queue(queue: str, *, exchange: str, routing_key: str, settings: Settings) -> Topology:
    """A topic exchange, and a work queue bound to it."""
    bound = Topology((Exchange(exchange, "topic"),), bindings=(Binding(exchange, queue, routing_key),))
    return bound + work_queue(queue, delays_ms=settings.retry_delays_ms, delivery_limit=settings.delivery_limit)


def event_consumer(
    url: str,
    queue: str,
    callback: Callback,
    *,
    topology: Topology,
    schemas: Schemas,
    prefetch: int,
    publisher: Publisher,
    on_dead_letter: OnDeadLetter | None,
    name: str,
    settings: Settings,
) -> Consumer:
    """A consumer that gives a callback the events of a queue, those of strangers too."""

    async def handle(delivery: Delivery) -> None:
        await callback(Received(decode(delivery.message.body, max_bytes=settings.max_message_bytes), delivery))

    config = ConsumerConfig(
        queue=queue,
        topology=topology,
        schemas=schemas,
        policy=RetryPolicy(settings.retry_delays_ms),
        prefetch=prefetch,
        max_bytes=settings.max_message_bytes,
        strangers=True,
    )
    return Consumer(
        url,
        config,
        handle,
        publisher=publisher,
        name=name,
        on_dead_letter=on_dead_letter,
        heartbeat_s=settings.heartbeat_s,
        timeout_s=settings.publish_timeout_s,
    )
