"""Publishes the orders of the shop, each to the queue of its region: `shop.eu` and `shop.us`."""

import os
import time

import pika
import psycopg


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare("shop", "topic", durable=True)
    for region in ("eu", "us"):
        channel.queue_bind(f"shop.{region}", "shop", f"order.{region}")

    while True:
        query = "SELECT id, region FROM orders WHERE NOT published ORDER BY id LIMIT 10"
        for order, region in db.execute(query).fetchall():
            properties = pika.BasicProperties(message_id=order, delivery_mode=2)
            channel.basic_publish("shop", f"order.{region}", b"", properties)
            db.execute("UPDATE orders SET published = true WHERE id = %s", [order])
        time.sleep(0.05)


if __name__ == "__main__":
    main()
