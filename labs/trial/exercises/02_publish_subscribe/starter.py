"""A subscriber: NAME says whether the `mailer` or the `audit`. It must see every event, wherever it was meanwhile."""

import os

import pika
import psycopg

NAME = os.environ["NAME"]


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.exchange_declare("events", "fanout", durable=True)
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "events")

    def on_event(channel, method, properties, body):
        db.execute(
            "INSERT INTO seen (subscriber, event) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [NAME, properties.message_id],
        )
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=10)
    channel.basic_consume(queue, on_event)
    channel.start_consuming()


if __name__ == "__main__":
    main()
