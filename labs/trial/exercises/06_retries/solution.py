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
    channel.confirm_delivery()  # a publish returns when the broker has the message

    def publish(queue, properties, body, attempt):
        again = pika.BasicProperties(message_id=properties.message_id, delivery_mode=2, headers={"attempt": attempt})
        channel.basic_publish("", queue, body, again, mandatory=True)

    def on_task(channel, method, properties, body):
        attempt = properties.headers["attempt"]
        try:
            do(db, properties.message_id, body, attempt)
        except ConnectionError:
            if attempt <= len(DELAYS_MS):
                publish(f"work.retry.{DELAYS_MS[attempt - 1]}", properties, body, attempt + 1)
            else:
                publish("work.dlq", properties, body, attempt)
        channel.basic_ack(method.delivery_tag)  # last: it is done, or safe elsewhere

    channel.basic_qos(prefetch_count=5)
    channel.basic_consume("work", on_task)
    channel.start_consuming()


if __name__ == "__main__":
    main()
