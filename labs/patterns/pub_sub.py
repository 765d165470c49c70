"""Publish/subscribe: every subscriber has a queue of its own, and every queue gets its own copy of each event.

A confirmed event is in every queue that was bound by then. A durable subscription keeps it while its process is away
and while the broker restarts; a temporary one ends with its connection. What came before the binding is gone. After a
crash, what was not acknowledged comes again; after a timeout, what was not confirmed is in the queues or not.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import Pipe, Process, active_children

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic

from labs.patterns.address import broker_url

EXCHANGE = "orders"


def open_channel(url: str) -> BlockingChannel:
    """A channel on a connection of its own; every publish on it waits for the broker's confirm."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.confirm_delivery()
    channel.exchange_declare(EXCHANGE, exchange_type="fanout", durable=True)
    return channel


def publish(channel: BlockingChannel, event: bytes) -> None:
    """Publish one event; who gets it is none of the publisher's business."""
    channel.basic_publish(EXCHANGE, "", event, pika.BasicProperties(delivery_mode=2))  # 2: kept on disk


def durable_subscription(channel: BlockingChannel, name: str) -> str:
    """A queue that collects events from now on, whether its subscriber is there or not; returns the queue's name."""
    queue = f"{EXCHANGE}.{name}"
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(queue, EXCHANGE)
    return queue


def temporary_subscription(channel: BlockingChannel) -> str:
    """A queue that the broker names, and deletes when this connection ends; returns the queue's name."""
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, EXCHANGE)
    return str(queue)


def consume(channel: BlockingChannel, queue: str, handle: Callable[[bytes], None]) -> None:
    """Hand every event to `handle`, for ever; it is acknowledged when `handle` has returned."""

    def on_message(_: BlockingChannel, method: Basic.Deliver, __: pika.BasicProperties, event: bytes) -> None:
        handle(event)
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=10)
    channel.basic_consume(queue, on_message)
    channel.start_consuming()


def _subscriber(url: str, name: str, tell: Callable[[bytes], None]) -> None:
    channel = open_channel(url)
    queue = durable_subscription(channel, name) if name == "mailer" else temporary_subscription(channel)
    tell(queue.encode())
    consume(channel, queue, tell)


def main(url: str) -> None:
    """Kill a durable subscriber and a temporary one, publish while they are away, and see who missed what."""
    channel = open_channel(url)
    for order in (b"order 1", b"order 3"):
        ends = {name: Pipe() for name in ("mailer", "dashboard")}
        for name, (here, there) in ends.items():
            Process(target=_subscriber, args=(url, name, there.send)).start()
            here.recv()  # it has subscribed
        publish(channel, order)
        for name, (here, _) in ends.items():
            print(name, "got", b", ".join([*iter(here.recv, order), order]).decode())
        for process in active_children():
            process.kill()
            process.join()
        publish(channel, b"order 2 while nobody was there")
    channel.queue_delete(f"{EXCHANGE}.mailer")
    channel.exchange_delete(EXCHANGE)
    channel.connection.close()


if __name__ == "__main__":
    main(broker_url())
