"""Chapter 04: a publisher that knows which of its messages the broker did not take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pika
from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import VirtualHost

Order = tuple[str, bytes]
SendAll = Callable[[BlockingChannel, Sequence[Order]], list[bytes]]

EXCHANGE = "shop"
QUEUE = "shop.eu"
#: One leads nowhere; of the others the last finds the queue full.
ORDERS: tuple[Order, ...] = (
    ("eu", b"order 1"),
    ("moon", b"order 2"),
    ("eu", b"order 3"),
    ("eu", b"order 4"),
    ("eu", b"order 5"),
)
_ROOM = 3


def check_send_all(vhost: VirtualHost, send_all: SendAll) -> str:
    """Give it a channel, and five orders for a queue with room for three; one has a key that leads nowhere."""
    connection = pika.BlockingConnection(pika.URLParameters(vhost.amqp_url))
    channel = connection.channel()
    _declare(channel)
    try:
        told = set(send_all(channel, ORDERS) or ())
    except Exception as error:
        return f"Not yet: send_all raised {type(error).__name__} instead of telling which orders were not taken."
    if channel.is_open:
        channel.queue_declare(QUEUE, passive=True)  # answered only after all that was published before
    if connection.is_open:
        connection.close()
    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as fresh:
        return _judge(told, _taken(fresh.channel()))


def _declare(channel: BlockingChannel) -> None:
    channel.exchange_declare(EXCHANGE, exchange_type="direct", durable=True)
    channel.queue_delete(QUEUE)
    channel.queue_declare(QUEUE, durable=True, arguments={"x-max-length": _ROOM, "x-overflow": "reject-publish"})
    channel.queue_bind(QUEUE, EXCHANGE, routing_key="eu")


def _taken(channel: BlockingChannel) -> dict[bytes, bool]:
    """The orders in the queue; whether they are persistent."""
    taken = {}
    while (delivery := channel.basic_get(QUEUE, auto_ack=True))[0] is not None:
        _, properties, body = delivery
        assert properties is not None
        assert body is not None
        taken[body] = properties.delivery_mode == pika.DeliveryMode.Persistent.value
    return taken


def _judge(told: set[bytes], taken: dict[bytes, bool]) -> str:
    for key, order in ORDERS:
        if order not in taken and order not in told:
            why = "no queue wants its key" if key != "eu" else "the queue was full"
            return f"Not yet: {order.decode()} is in no queue ({why}), and you don't know."
        if order in taken and order in told:
            return f"Not yet: you say that {order.decode()} was not taken, but it is in the queue."
    if not all(taken.values()):
        return "Not yet: you know what was taken, but a restart would lose it: the messages aren't persistent."
    return f"Solved: {len(taken)} orders are safe, and you know the {len(told)} that are not."
