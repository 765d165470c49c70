"""A worker that begins anew, whatever the broker does to it."""

import os
import time

import pika
import psycopg
from pika.exceptions import AMQPError


def work(db):
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.queue_declare("work", durable=True)
    channel.basic_qos(prefetch_count=5)

    def on_task(channel, method, properties, body):
        db.execute("INSERT INTO done (task) VALUES (%s) ON CONFLICT DO NOTHING", [properties.message_id])
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume("work", on_task)
    channel.start_consuming()  # returns when the broker has cancelled the consumer, as when its queue is deleted
    connection.close()


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    while True:
        try:
            work(db)
        except AMQPError as error:
            print("cut off:", error)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
