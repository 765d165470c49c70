"""Delivers every message of the system once more, as a network or a careless publisher would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pika
from pika.exceptions import AMQPError

from tests.faults.faulty import Faulty


@contextmanager
def duplicating(url: str, kind: Faulty) -> Iterator[Callable[[], int]]:
    """Duplicate for the length of a block; gives a function that counts the copies. A lost broker ends it early."""
    copies = 0
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    tap = channel.queue_declare("", exclusive=True).method.queue
    for key in kind.targets:
        channel.queue_bind(tap, kind.exchange, key)
    stop = threading.Event()

    def run() -> None:
        nonlocal copies
        try:
            for method, properties, body in channel.consume(tap, auto_ack=True, inactivity_timeout=0.1):
                if stop.is_set():
                    break
                for queue in kind.targets.get(method.routing_key, ()) if method else ():
                    channel.basic_publish("", queue, body, properties)
                    copies += 1
            connection.close()
        except AMQPError:
            return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: copies
    finally:
        stop.set()
        thread.join()
