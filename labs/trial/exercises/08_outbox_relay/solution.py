"""A relay: publishes what was committed into the outbox, and marks what a queue has. There are two of it."""

import os
import time

import pika
import psycopg
from pika.exceptions import AMQPError, NackError, UnroutableError

#: Rows in the hands of another relay are passed over; no cursor: a lower number may be committed later.
CLAIM = "SELECT id, message, body FROM outbox WHERE NOT published ORDER BY id LIMIT 10 FOR UPDATE SKIP LOCKED"


def relay(db):
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.confirm_delivery()
    while True:
        with db.transaction():
            for row, message, body in db.execute(CLAIM).fetchall():
                properties = pika.BasicProperties(message_id=message, delivery_mode=2)
                try:
                    channel.basic_publish("shop", "payment", body.encode(), properties, mandatory=True)
                except (UnroutableError, NackError):
                    continue  # no queue has it: it stays, and is tried again
                db.execute("UPDATE outbox SET published = true WHERE id = %s", [row])
        connection.process_data_events(time_limit=0.05)


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    while True:
        try:
            relay(db)
        except AMQPError as error:
            print("cut off:", error)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
