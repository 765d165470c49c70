"""A consumer that pays. Inbox and payment are one transaction: both or none."""

import os
import time

import pika
import psycopg


def pay(db, message, body):
    amount, account = body.decode().split()
    time.sleep(0.02)  # the bank takes its time
    db.execute("INSERT INTO ledger (message, account, amount) VALUES (%s, %s, %s)", [message, account, int(amount)])


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.queue_declare("payments", durable=True)

    def on_payment(channel, method, properties, body):
        message = properties.message_id
        with db.transaction():
            # The second of two with the same message waits here until the first has committed
            insert = "INSERT INTO inbox (message) VALUES (%s) ON CONFLICT DO NOTHING"
            if db.execute(insert, [message]).rowcount == 1:
                pay(db, message, body)
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=5)
    channel.basic_consume("payments", on_payment)
    channel.start_consuming()


if __name__ == "__main__":
    main()
