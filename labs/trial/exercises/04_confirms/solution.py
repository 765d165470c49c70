"""Publishes the orders of the shop, and marks as published what the broker has confirmed and a queue has."""

import os
import time

import pika
import psycopg
from pika.exceptions import AMQPError, NackError, UnroutableError


def publish_all(db):
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.confirm_delivery()  # from here on each publish waits for the broker's answer
    while True:
        query = "SELECT id FROM orders WHERE NOT published ORDER BY id LIMIT 10"
        for (order,) in db.execute(query).fetchall():
            properties = pika.BasicProperties(message_id=order, delivery_mode=2)
            try:
                channel.basic_publish("shop", "order", b"", properties, mandatory=True)
            except (UnroutableError, NackError):
                continue  # no queue has it: it stays, and is tried again
            db.execute("UPDATE orders SET published = true WHERE id = %s", [order])
        connection.process_data_events(time_limit=0.05)


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    while True:
        try:
            publish_all(db)
        except AMQPError as error:
            print("cut off:", error)  # what was not confirmed is not marked, and published again
        time.sleep(0.2)


if __name__ == "__main__":
    main()
