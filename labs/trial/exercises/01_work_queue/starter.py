"""A worker that makes pictures smaller. In a demo it works. Does it survive being killed?"""

import os
import time

import pika
import psycopg


def shrink(db, task):
    time.sleep(0.04)  # the work
    db.execute("INSERT INTO done (task) VALUES (%s) ON CONFLICT DO NOTHING", [task])


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.queue_declare("work", durable=True)

    def on_task(channel, method, properties, body):
        channel.basic_ack(method.delivery_tag)
        shrink(db, properties.message_id)

    channel.basic_consume("work", on_task)
    channel.start_consuming()


if __name__ == "__main__":
    main()
