"""A consumer whose effect happens once: it writes the message's key in the very transaction of the effect.

Delivery is at least once. One effect is left by a crash at any point, by a publisher that sends again after a timeout,
and by two consumers with the same message at once: the second waits for the first. Not covered: effects outside this
database, the order of messages, duplicates whose key was deleted meanwhile; a message without an id is rejected.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, cast

import pika
import psycopg
from pika.adapters.blocking_connection import BlockingChannel

from labs.patterns.address import broker_url, scratch_database_url

QUEUE = "payments"
SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (amount integer NOT NULL, account text NOT NULL);
CREATE TABLE IF NOT EXISTS handled (
    consumer text, message_id text, at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (consumer, message_id));
"""
Db = psycopg.Connection[Any]


def open_channel(amqp_url: str) -> BlockingChannel:
    """A channel on a connection of its own; the queue is there."""
    channel = pika.BlockingConnection(pika.URLParameters(amqp_url)).channel()
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    channel.basic_qos(prefetch_count=10)
    channel.confirm_delivery()
    return channel


def publish(channel: BlockingChannel, *, message_id: str, body: bytes) -> None:
    """Publish, confirmed. Who sees no confirm in time publishes again, with the same id: that makes duplicates."""
    channel.basic_publish("", QUEUE, body, pika.BasicProperties(message_id=message_id, delivery_mode=2), mandatory=True)


def pay(db: Db, body: bytes) -> None:
    """The effect: whenever this is done, money is paid. The body says how much and to whom: `10 ada`."""
    db.execute("INSERT INTO ledger (amount, account) VALUES (%s, %s)", body.decode().split())


def handle_once(db: Db, consumer: str, message_id: str, effect: Callable[[Db, bytes], None], body: bytes) -> bool:
    """Key and effect in one transaction: both or none. False if the effect had happened before."""
    with db.transaction():
        insert = "INSERT INTO handled (consumer, message_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"
        is_new = db.execute(insert, [consumer, message_id]).rowcount == 1
        if is_new:
            effect(db, body)
    return is_new


def consume(channel: BlockingChannel, db: Db) -> Iterator[bool]:
    """Handle what arrives, for ever; tells of each message, after its ack, whether it was new."""
    for method, properties, body in cast("Iterator[Any]", channel.consume(QUEUE)):
        if not properties.message_id:
            channel.basic_reject(method.delivery_tag, requeue=False)
            continue
        is_new = handle_once(db, QUEUE, properties.message_id, pay, body)
        channel.basic_ack(method.delivery_tag)  # last: what is acked is committed
        yield is_new


def clumsy_worker(amqp_url: str, database_url: str) -> None:
    """Dies at the worst moment: the money is paid, and the broker doesn't know."""
    _, properties, body = cast("Any", open_channel(amqp_url).basic_get(QUEUE))
    handle_once(psycopg.connect(database_url, autocommit=True), QUEUE, properties.message_id, pay, body)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    urls = broker_url(), scratch_database_url()
    queue, database = open_channel(urls[0]), psycopg.connect(urls[1], autocommit=True)
    database.execute(SCHEMA)
    for _ in range(5):
        publish(queue, message_id="payment-1", body=b"10 ada")
    worker = multiprocessing.get_context("spawn").Process(target=clumsy_worker, args=urls)
    worker.start()
    worker.join()
    recognised = [is_new for _, is_new in zip(range(5), consume(queue, database), strict=False)].count(False)
    print(f"5 copies, a worker killed: recognised: {recognised}, paid:", *database.execute("TABLE ledger"))
    queue.queue_delete(QUEUE)
