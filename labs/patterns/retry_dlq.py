"""Retry after 1, 2 and 4 seconds, then a dead-letter queue: one queue for each delay, no plugin, RabbitMQ 3.10 to 4.3.

Guaranteed: a message whose task fails is tried again after each delay, never earlier, then lies in QUEUE.dlq with its
reason. What takes a message's place is confirmed before the message is acknowledged: a crash or a timeout, at any
moment, makes a duplicate and never a loss. Not guaranteed: order, exact times, and that a task runs only once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import BasicProperties

from labs.patterns.address import broker_url

DELAYS_MS = (1000, 2000, 4000)
PERMANENT = (ValueError, TypeError, LookupError)  # no other attempt can succeed: straight to the dead-letter queue


def declare(channel: BlockingChannel, queue: str, *, delays_ms: Sequence[int] = DELAYS_MS) -> list[str]:
    """The work queue, its delays and its dead-letter queue; harmless if they exist. Returns their names."""
    safe = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-dead-letter-strategy": "at-least-once"}
    queues: dict[str, dict[str, Any]] = {queue: {**safe, **_dies_into(f"{queue}.dlq"), "x-delivery-limit": 20}}
    for delay_ms in delays_ms:  # it is in the name, because the arguments of an existing queue can't change
        queues[f"{queue}.retry.{delay_ms}"] = {**safe, **_dies_into(queue), "x-message-ttl": delay_ms}
    queues[f"{queue}.dlq"] = {"x-queue-type": "classic"}
    for name, arguments in queues.items():
        channel.queue_declare(name, durable=True, arguments=arguments)
    return list(queues)


def _dies_into(queue: str) -> dict[str, str]:
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}


def publish(channel: BlockingChannel, queue: str, body: bytes, like: BasicProperties, **headers: object) -> None:
    """Store or raise; the channel must confirm. Old headers stay behind: a copied `x-death` looks like a cycle."""
    properties = BasicProperties(message_id=like.message_id, type=like.type, delivery_mode=2, headers=headers)
    channel.basic_publish("", queue, body, properties, mandatory=True)


def settle(incoming: BlockingChannel, outgoing: BlockingChannel, delivery: Any, *, queue: str,
           task: Callable[[bytes], object], delays_ms: Sequence[int] = DELAYS_MS) -> None:  # fmt: skip
    """One attempt; if it fails, the message waits in the next delay, or dies. The acknowledgement comes last."""
    method, properties, body = delivery
    attempt = (properties.headers or {}).get("attempt", 1)
    try:
        task(body)
    except Exception as error:
        if attempt <= len(delays_ms) and not isinstance(error, PERMANENT):
            publish(outgoing, f"{queue}.retry.{delays_ms[attempt - 1]}", body, properties, attempt=attempt + 1)
        else:
            publish(outgoing, f"{queue}.dlq", body, properties, attempt=attempt, reason=repr(error)[:200])
    incoming.basic_ack(method.delivery_tag)


def redrive(channel: BlockingChannel, queue: str, *, dry_run: bool = True) -> list[Any]:
    """Send what is dead now back to work, under the same ids; a dry run leaves all there once its channel is closed."""
    count = channel.queue_declare(f"{queue}.dlq", passive=True).method.message_count
    letters: list[Any] = [channel.basic_get(f"{queue}.dlq") for _ in range(count)]
    letters = [letter for letter in letters if letter[0] is not None]  # somebody else may fetch them too
    for method, properties, body in [] if dry_run else letters:
        publish(channel, queue, body, properties, attempt=1)
        channel.basic_ack(method.delivery_tag)
    return letters


def _fail(body: bytes) -> None:
    print(f"{time.time() % 60:5.2f} s: trying {body.decode()}")
    raise ConnectionError("the bank is down")


if __name__ == "__main__":
    demo, delays_ms = f"demo-{os.getpid()}", (250, 500, 1000)
    channel = pika.BlockingConnection(pika.URLParameters(broker_url())).channel()
    channel.confirm_delivery()
    queues = declare(channel, demo, delays_ms=delays_ms)
    publish(channel, demo, b"order-1", BasicProperties(message_id="order-1"))
    for delivery in channel.consume(demo, inactivity_timeout=0.5):
        if delivery[0] is not None:
            settle(channel, channel, delivery, queue=demo, task=_fail, delays_ms=delays_ms)
        elif channel.queue_declare(f"{demo}.dlq", passive=True).method.message_count:
            break
    print("dead:", *(properties.headers for _, properties, _ in redrive(channel, demo)))
    for queue in queues:
        channel.queue_delete(queue)
