"""A worker that sets resumes. What its user cancels meanwhile is thrown away."""

import os
import time

import pika
import psycopg

#: Both say from which status: look and change are one statement, and nothing comes in between.
CLAIM = """
UPDATE jobs SET status = 'processing', claim = claim + 1
WHERE id = %s AND status IN ('pending', 'processing') RETURNING claim"""
FINISH = "UPDATE jobs SET status = 'completed', result = %s WHERE id = %s AND status = 'processing' AND claim = %s"


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
        claimed = db.execute(CLAIM, [job]).fetchone()
        if claimed:
            db.execute(FINISH, [typeset(job), job, claimed[0]])  # no effect, if it was cancelled meanwhile
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("resumes", on_job)
    channel.start_consuming()


if __name__ == "__main__":
    main()
