"""A worker that writes cover letters: it claims a job for a second; the claim's number is its right to finish it."""

import os
import time

import pika
import psycopg

LEASE_S = 1.0

#: Waiting, or left by a worker whose lease has run out.
CLAIM = """
UPDATE jobs SET status = 'processing', claim = claim + 1, lease_until = clock_timestamp() + %s * interval '1 second'
WHERE id = %s AND (status = 'pending' OR (status = 'processing' AND lease_until < clock_timestamp()))
RETURNING claim"""
FINISH = "UPDATE jobs SET status = 'completed', result = %s WHERE id = %s AND status = 'processing' AND claim = %s"


def ask_model(job):
    time.sleep(0.15)  # the model takes its time
    return f"Dear hiring team, I am the one for {job}."


def work_on(db, connection, job):
    """Returns when the job has ended, by us or by somebody else."""
    while True:
        claimed = db.execute(CLAIM, [LEASE_S, job]).fetchone()
        if claimed:
            db.execute(FINISH, [ask_model(job), job, claimed[0]])  # no effect, if the claim isn't the newest
        (status,) = db.execute("SELECT status FROM jobs WHERE id = %s", [job]).fetchone()
        if status == "completed":
            return
        connection.sleep(0.1)  # somebody else has it: until it is done, or the lease has run out


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.queue_declare("letters", durable=True)

    def on_job(channel, method, properties, body):
        work_on(db, connection, properties.message_id)
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("letters", on_job)
    channel.start_consuming()


if __name__ == "__main__":
    main()
