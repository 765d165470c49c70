"""A worker that sets resumes. Its users may change their minds."""

import os
import time

import pika
import psycopg


def typeset(job):
    time.sleep(0.1)  # it takes its time
    return f"resume of {job}"


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.queue_declare("resumes", durable=True)

    def on_job(channel, method, properties, body):
        job = properties.message_id
        (status,) = db.execute("SELECT status FROM jobs WHERE id = %s", [job]).fetchone()
        if status != "cancelled":
            db.execute("UPDATE jobs SET status = 'processing', claim = claim + 1 WHERE id = %s", [job])
            result = typeset(job)
            db.execute("UPDATE jobs SET status = 'completed', result = %s WHERE id = %s", [result, job])
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("resumes", on_job)
    channel.start_consuming()


if __name__ == "__main__":
    main()
