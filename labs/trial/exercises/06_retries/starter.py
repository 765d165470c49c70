"""A worker whose tasks may fail: tried again after 100, 200 and 400 ms, and then a dead letter."""

import os
import time

import pika
import psycopg

DELAYS_MS = (100, 200, 400)  # there are queues `work.retry.100` and so on, and `work.dlq`


def do(db, task, body, attempt):
    time.sleep(0.01)  # the work
    if body == b"fails always" or (body == b"fails once" and attempt == 1):
        raise ConnectionError("the picture can't be fetched")
    db.execute("INSERT INTO done (task) VALUES (%s) ON CONFLICT DO NOTHING", [task])


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()

    def on_task(channel, method, properties, body):
        attempt = properties.headers["attempt"]
        try:
            do(db, properties.message_id, body, attempt)
            channel.basic_ack(method.delivery_tag)
        except ConnectionError:
            channel.basic_nack(method.delivery_tag, requeue=True)

    channel.basic_qos(prefetch_count=5)
    channel.basic_consume("work", on_task)
    channel.start_consuming()


if __name__ == "__main__":
    main()
