"""Routing: the type of an exchange decides how it compares a message with the bindings of its queues.

A confirmed message is in every queue that has a matching binding, once, however many of its bindings match. A message
that nobody wants goes to the alternate exchange if there is one that has a queue for it; else it comes back and
`publish` raises. After a crash of the publisher, or a timeout, what was not confirmed is in all of its queues or in
some or in none; publishing it again may make duplicates.
"""

from __future__ import annotations

from collections.abc import Mapping

import pika
from pika.adapters.blocking_connection import BlockingChannel

from labs.patterns.address import broker_url


def open_channel(url: str) -> BlockingChannel:
    """A channel on a connection of its own; every publish on it waits for the broker's confirm."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.confirm_delivery()
    return channel


def declare_exchange(channel: BlockingChannel, name: str, kind: str, *, alternate: str | None = None) -> None:
    """Declare an exchange; what none of its bindings wants goes to the alternate exchange."""
    arguments = {"alternate-exchange": alternate} if alternate else {}
    channel.exchange_declare(name, exchange_type=kind, durable=True, arguments=arguments)


def bind(
    channel: BlockingChannel, queue: str, exchange: str, key: str = "", *, headers: Mapping[str, str] | None = None
) -> None:
    """Declare a queue and bind it.

    Args:
        key: for a direct exchange the very key, for a topic exchange a pattern of words; others don't look at it.
        headers: for a headers exchange: what a message must have; `x-match` says whether `all` of it, or `any`.
    """
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(queue, exchange, key, arguments=dict(headers or {}))


def publish(
    channel: BlockingChannel, exchange: str, key: str, body: bytes, *, headers: Mapping[str, str] | None = None
) -> None:
    """Publish a message, and wait until every queue that wants it has it.

    Raises:
        pika.exceptions.UnroutableError: no queue wants it, and no alternate exchange takes it.
    """
    properties = pika.BasicProperties(delivery_mode=2, headers=dict(headers or {}))
    channel.basic_publish(exchange, key, body, properties, mandatory=True)


def main(url: str) -> None:
    """One message to an exchange of each type: which queues get it?"""
    channel = open_channel(url)
    bindings = {"direct": "order.eu.paid", "topic": "order.*.paid", "fanout": "whatever", "headers": "whatever"}
    wanted = {"x-match": "all", "region": "us"}
    for kind, key in bindings.items():
        declare_exchange(channel, f"routing.{kind}", kind)
        bind(channel, f"routing.{kind}", f"routing.{kind}", key, headers=wanted if kind == "headers" else None)
    for kind, key in bindings.items():
        try:
            publish(channel, f"routing.{kind}", "order.eu.paid", b"", headers={"region": "eu"})
            print(f"{kind}: order.eu.paid arrived, the queue is bound with {key}")
        except pika.exceptions.UnroutableError:
            print(f"{kind}: order.eu.paid came back, its region is eu and the queue is bound with {wanted}")
    for kind in bindings:
        channel.queue_delete(f"routing.{kind}")
        channel.exchange_delete(f"routing.{kind}")
    channel.connection.close()


if __name__ == "__main__":
    main(broker_url())
