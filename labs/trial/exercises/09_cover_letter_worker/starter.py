"""A worker that writes cover letters. Is a letter still its own when it comes back from the model?"""

import os
import time

import pika
import psycopg


def ask_model(job):
    time.sleep(0.15)  # the model takes its time
    return f"Dear hiring team, I am the one for {job}."


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.queue_declare("letters", durable=True)

    def on_job(channel, method, properties, body):
        job = properties.message_id
        db.execute("UPDATE jobs SET status = 'processing', claim = claim + 1 WHERE id = %s", [job])
        letter = ask_model(job)
        db.execute("UPDATE jobs SET status = 'completed', result = %s WHERE id = %s", [letter, job])
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("letters", on_job)
    channel.start_consuming()


if __name__ == "__main__":
    main()
