"""Chapter 13: where an urgent message comes, behind what its consumer has fetched already."""

from __future__ import annotations

import time
from collections.abc import Callable

import pika

from labs.broker import VirtualHost

_QUEUE = "orders"
_ORDINARY = 50
_URGENT = 9
_TIMEOUT_S = 20.0


def place_of_the_urgent(vhost: VirtualHost, *, prefetch: int) -> int:
    """Publish ordinary messages, let a consumer begin, publish an urgent one: as which is it worked on, from 1?

    Args:
        vhost: where the priority queue is made, and deleted afterwards.
        prefetch: messages that the consumer may hold without having acknowledged them, 1 or more.

    Raises:
        TimeoutError: the broker did not deliver everything in time.
    """
    connection = pika.BlockingConnection(pika.URLParameters(vhost.amqp_url))
    try:
        channel = connection.channel()
        channel.queue_declare(_QUEUE, durable=True, arguments={"x-max-priority": _URGENT})
        for number in range(_ORDINARY):
            channel.basic_publish("", _QUEUE, f"ordinary {number}".encode(), pika.BasicProperties(priority=1))
        channel.basic_qos(prefetch_count=prefetch)
        worked_on: list[bytes] = []
        held: list[tuple[int, bytes]] = []
        channel.basic_consume(_QUEUE, lambda _, method, __, body: held.append((method.delivery_tag, body)))
        # The consumer is at its first message: everything that prefetch allows has been handed to it.
        _until(connection, lambda: len(held) >= min(prefetch, _ORDINARY))
        with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as other:
            confirmed = other.channel()
            confirmed.confirm_delivery()
            confirmed.basic_publish("", _QUEUE, b"urgent", pika.BasicProperties(priority=_URGENT))
        while b"urgent" not in worked_on:
            _until(connection, lambda: bool(held))
            tag, body = held.pop(0)
            worked_on.append(body)
            channel.basic_ack(tag)
        channel.queue_delete(_QUEUE)
        return len(worked_on)
    finally:
        connection.close()


def _until(connection: pika.BlockingConnection, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the broker did not deliver within {_TIMEOUT_S:g} s")
        connection.process_data_events(time_limit=0.05)
