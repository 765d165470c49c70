"""A participant of a session; NAME says who. Changes come over the topic exchange `peers`: `session.s1.change`."""

import os
import time

import pika
import psycopg
from pika.exceptions import AMQPError

NAME = os.environ["NAME"]
SESSIONS = {"ada": "s1", "bob": "s1", "eve": "s2"}


def participate(db):
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.exchange_declare("peers", "topic", durable=True)
    queue = f"peers.{NAME}"
    channel.queue_declare(queue, durable=True, auto_delete=True)
    channel.queue_bind(queue, "peers", "session.#")

    def on_change(channel, method, properties, body):
        db.execute(
            "INSERT INTO seen (subscriber, event) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [NAME, properties.message_id],
        )
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=10)
    channel.basic_consume(queue, on_change)
    channel.start_consuming()


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    while True:
        try:
            participate(db)
        except AMQPError as error:
            print("cut off:", error)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
