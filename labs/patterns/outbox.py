"""A transactional outbox: fact and message are written in one transaction, and a relay publishes what was committed.

A message goes out for every committed fact and for no other, whatever is killed: writer, relay or broker. A relay that
dies between confirm and mark, or waits for a confirm in vain, publishes again under the same id: at least once, so a
consumer must be idempotent. What is refused or can't be routed stays, and is tried again. Not guaranteed: order.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
import uuid
from typing import Any

import pika
import psycopg
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, NackError, UnroutableError

from labs.patterns.address import broker_url, scratch_database_url

QUEUE = "payments"
SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, body text NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id text, queue text, body text,
    created_at timestamptz DEFAULT clock_timestamp(), published_at timestamptz);"""
CLAIM = """SELECT id, message_id, queue, body FROM outbox WHERE published_at IS NULL
ORDER BY id LIMIT 10 FOR UPDATE SKIP LOCKED"""  # rows in the hands of another relay are passed over


def open_channel(amqp_url: str) -> BlockingChannel:
    """A channel in confirm mode: every publish waits for the broker's answer. The queue is there."""
    channel = pika.BlockingConnection(pika.URLParameters(amqp_url)).channel()
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    channel.confirm_delivery()
    return channel


def place_order(db: psycopg.Connection[Any], body: str, *, queue: str = QUEUE) -> str:
    """Fact and message in one transaction: both or none. The hint wakes a relay at the commit."""
    order_id = str(uuid.uuid4())
    with db.transaction():
        db.execute("INSERT INTO orders (id, body) VALUES (%s, %s)", [order_id, body])
        db.execute("INSERT INTO outbox (message_id, queue, body) VALUES (%s, %s, %s)", [order_id, queue, body])
        db.execute("NOTIFY outbox")
    return order_id


def relay_batch(channel: BlockingChannel, db: psycopg.Connection[Any]) -> int:
    """Claim, publish, mark what a queue has; returns how many."""
    confirmed = 0
    with db.transaction():
        for row_id, message_id, queue, body in db.execute(CLAIM).fetchall():
            properties = pika.BasicProperties(message_id=message_id, delivery_mode=2)
            with contextlib.suppress(UnroutableError, NackError):  # refused: the row stays as it is
                channel.basic_publish("", queue, body.encode(), properties, mandatory=True)
                db.execute("UPDATE outbox SET published_at = clock_timestamp() WHERE id = %s", [row_id])
                confirmed += 1
    return confirmed


def relay(amqp_url: str, database_url: str, poll_s: float = 1.0) -> None:
    """Relay for ever, and wait out a broker that is down. A hint may be lost: it shortens the wait, no more."""
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("LISTEN outbox")
        while True:
            with contextlib.suppress(AMQPError):
                channel = open_channel(amqp_url)
                while True:
                    list(db.notifies(timeout=0 if relay_batch(channel, db) else poll_s, stop_after=1))
            time.sleep(0.2)


if __name__ == "__main__":
    urls = broker_url(), scratch_database_url()
    broker, database = open_channel(urls[0]), psycopg.connect(urls[1], autocommit=True)
    database.execute(SCHEMA)
    process = multiprocessing.get_context("spawn").Process(target=relay, args=urls)
    process.start()
    while broker.queue_declare(QUEUE, passive=True).method.message_count < 20:
        place_order(database, "10 ada")
    process.kill()  # SIGKILL, wherever it is just now: what it had in hand stays locked until the database has noticed
    while database.execute("SELECT 1 FROM outbox WHERE published_at IS NULL LIMIT 1").fetchone():
        relay_batch(broker, database)
    print("relay killed; orders and published:", *database.execute("SELECT count(*), count(published_at) FROM outbox"))
    broker.queue_delete(QUEUE)
