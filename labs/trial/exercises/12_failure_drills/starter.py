"""A worker that is well as long as the broker is."""

import os

import pika
import psycopg


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.queue_declare("work", durable=True)
    channel.basic_qos(prefetch_count=5)

    def on_task(channel, method, properties, body):
        db.execute("INSERT INTO done (task) VALUES (%s) ON CONFLICT DO NOTHING", [properties.message_id])
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume("work", on_task)
    while True:
        connection.process_data_events(time_limit=1)


if __name__ == "__main__":
    main()
