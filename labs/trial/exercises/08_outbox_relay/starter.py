"""A relay: publishes what was committed into the outbox, and marks it. There are two of it."""

import os

import pika
import psycopg


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    last = 0
    while True:
        query = "SELECT id, message, body FROM outbox WHERE id > %s AND NOT published ORDER BY id LIMIT 10"
        for row, message, body in db.execute(query, [last]).fetchall():
            properties = pika.BasicProperties(message_id=message, delivery_mode=2)
            channel.basic_publish("shop", "payment", body.encode(), properties)
            db.execute("UPDATE outbox SET published = true WHERE id = %s", [row])
            last = row
        connection.process_data_events(time_limit=0.05)


if __name__ == "__main__":
    main()
