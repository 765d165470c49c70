"""Keeps a search index of documents: each event tells of a version of one. The newest one stays, whatever the order."""

import json
import os

import pika
import psycopg

WRITE = """
INSERT INTO document_search (document, version, title) VALUES (%(document)s, %(version)s, %(title)s)
ON CONFLICT (document) DO UPDATE SET version = excluded.version, title = excluded.title
WHERE document_search.version < excluded.version"""


def main():
    db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.queue_declare("search", durable=True)

    def on_event(channel, method, properties, body):
        db.execute(WRITE, json.loads(body))
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=10)
    channel.basic_consume("search", on_event)
    channel.start_consuming()


if __name__ == "__main__":
    main()
