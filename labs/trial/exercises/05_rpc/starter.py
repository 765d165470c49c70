"""A server that charges accounts, and tells its caller. Callers have little patience, and servers die."""

import os
import time

import pika
import psycopg


def charge(db, message, body):
    amount, account = body.decode().split()
    time.sleep(0.03)  # the bank takes its time
    db.execute("INSERT INTO charges (message, account, amount) VALUES (%s, %s, %s)", [message, account, int(amount)])
    return f"charged {amount} {account}"


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.queue_declare("rpc.charge", durable=True)

    def on_question(channel, method, properties, body):
        channel.basic_ack(method.delivery_tag)
        answer = charge(db, properties.message_id, body)
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, answer.encode(), reply)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("rpc.charge", on_question)
    channel.start_consuming()


if __name__ == "__main__":
    main()
