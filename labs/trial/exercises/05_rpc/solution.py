"""A server that charges accounts, and tells its caller: once, though a question may come twice."""

import os
import time

import pika
import psycopg


def charge(db, message, body):
    amount, account = body.decode().split()
    time.sleep(0.03)  # the bank takes its time
    db.execute("INSERT INTO charges (message, account, amount) VALUES (%s, %s, %s)", [message, account, int(amount)])
    return f"charged {amount} {account}"


def charge_once(db, message, body):
    """The charge and its answer are one transaction; who asks again gets the answer that he would have got."""
    with db.transaction():
        insert = "INSERT INTO handled (message) VALUES (%s) ON CONFLICT DO NOTHING"
        if db.execute(insert, [message]).rowcount == 1:
            answer = charge(db, message, body)
            db.execute("UPDATE handled SET answer = %s WHERE message = %s", [answer, message])
            return answer
    return db.execute("SELECT answer FROM handled WHERE message = %s", [message]).fetchone()[0]


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.queue_declare("rpc.charge", durable=True)

    def on_question(channel, method, properties, body):
        answer = charge_once(db, properties.message_id, body)
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, answer.encode(), reply)
        channel.basic_ack(method.delivery_tag)  # last: charged, and told

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("rpc.charge", on_question)
    channel.start_consuming()


if __name__ == "__main__":
    main()
