"""Publishes the orders of the shop, and marks each as published. Is it?"""

import os

import pika
import psycopg


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    while True:
        query = "SELECT id FROM orders WHERE NOT published ORDER BY id LIMIT 10"
        for (order,) in db.execute(query).fetchall():
            properties = pika.BasicProperties(message_id=order, delivery_mode=2)
            channel.basic_publish("shop", "order", b"", properties)
            db.execute("UPDATE orders SET published = true WHERE id = %s", [order])
        connection.process_data_events(time_limit=0.05)


if __name__ == "__main__":
    main()
