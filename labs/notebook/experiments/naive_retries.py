"""Chapter 06: the obvious ways to retry, measured: giving a message back, and one queue with a TTL for each message."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import depth
from labs.processes import wait_until

#: More than any limit of this chapter.
_MANY, _ENOUGH_S = 50, 30.0


@dataclass(frozen=True)
class Loop:
    """What became of one message that was given back again and again."""

    deliveries: int
    seconds: float
    is_dead: bool

    @property
    def a_second(self) -> float:
        """Deliveries a second, while it lasted."""
        return self.deliveries / self.seconds


def give_back(
    url: str, *, kind: str, verb: str, arguments: Mapping[str, Any] | None = None, most: int = 2000, most_s: float = 1.0
) -> Loop:
    """Reject or nack one message with `requeue` until it is dead, or until so many times or seconds are enough.

    On a machine that stands still for a moment the seconds alone say nothing: it is more than a few times in any case.
    """
    name = f"loop.{kind}.{verb}"
    channel = _channel(url)
    channel.queue_declare(f"{name}.dlq", durable=True)
    channel.queue_declare(name, durable=True, arguments=_dies_into(f"{name}.dlq", kind=kind, **(arguments or {})))
    channel.basic_publish("", name, b"again and again")
    count, since_s = 0, time.monotonic()
    last_s = since_s
    for method, _, _ in channel.consume(name, inactivity_timeout=0.1):
        if method is None and depth(url, f"{name}.dlq").messages:
            break
        if method is not None:
            count, last_s = count + 1, time.monotonic()
            getattr(channel, f"basic_{verb}")(method.delivery_tag, requeue=True)
        lasted_s = time.monotonic() - since_s
        if count >= most or (lasted_s > most_s and count > _MANY) or lasted_s > _ENOUGH_S:
            break
    channel.cancel()
    loop = Loop(count, last_s - since_s, is_dead=depth(url, f"{name}.dlq").messages > 0)
    _close(channel, name, f"{name}.dlq")
    return loop


def waits_ms(url: str, planned_ms: Sequence[int], *, kind: str, queue_for: Callable[[int], str]) -> dict[int, float]:
    """Publish one message for each planned wait, in this order, each with its own TTL; measure when each is back.

    All from the moment at which the first is published: it is what the others may have to wait for.

    Args:
        url: the broker.
        planned_ms: all different.
        kind: of the queues in which they wait.
        queue_for: names the queue for a wait.
    """
    channel = _channel(url)
    back = str(channel.queue_declare("", exclusive=True).method.queue)
    queues = list(dict.fromkeys(map(queue_for, planned_ms)))
    for queue in queues:
        channel.queue_declare(queue, durable=True, arguments=_dies_into(back, kind=kind))
    zero_s = time.monotonic()
    for planned in planned_ms:
        properties = pika.BasicProperties(expiration=str(planned), delivery_mode=2)
        channel.basic_publish("", queue_for(planned), str(planned).encode(), properties, mandatory=True)
    waited: dict[int, float] = {}
    for _, _, body in channel.consume(back, auto_ack=True):
        planned = int(body or b"")
        waited[planned] = (time.monotonic() - zero_s) * 1000
        if len(waited) == len(planned_ms):
            break
    channel.cancel()
    _close(channel, *queues)
    return waited


def look(url: str, *, kind: str, limit: int, times: int) -> bool:
    """Fetch a dead letter and let go of it again, so many times; whether it is still there."""
    channel, name = _channel(url), f"looked.at.{kind}"
    arguments = {"x-queue-type": kind} | ({"x-delivery-limit": limit} if kind == "quorum" else {})
    channel.queue_declare(name, durable=True, arguments=arguments)
    channel.basic_publish("", name, b"a dead letter", pika.BasicProperties(delivery_mode=2))
    for _ in range(times):
        looking = channel.connection.channel()
        wait_until(lambda: depth(url, name).messages == 1, timeout_s=5, every_s=0.01)  # it comes back in its own time
        looking.basic_get(name)
        looking.close()
    is_there = wait_until(lambda: depth(url, name).messages == 1, timeout_s=5, every_s=0.01)
    _close(channel, name)
    return is_there


def _dies_into(queue: str, *, kind: str, **arguments: Any) -> dict[str, Any]:
    dies = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
    return {"x-queue-type": kind, **dies, **arguments}


def _channel(url: str) -> BlockingChannel:
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.confirm_delivery()
    return channel


def _close(channel: BlockingChannel, *queues: str) -> None:
    for queue in queues:
        channel.queue_delete(queue)
    channel.connection.close()
