"""Chapter 07: what makes two messages the same one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from itertools import islice
from typing import Any

import pika
import psycopg
from pika import BasicProperties

from labs.patterns.idempotent import SCHEMA, handle_once

_QUEUE = "payments.exercise"
KeyOf = Callable[[dict[str, Any]], str]

#: What arrived this morning: message id, payment, time of sending. Everything else is the same in all of them.
_ARRIVED = (
    ("m-1", "P-1", "09:00"),
    ("m-1", "P-1", "09:00"),  # delivered again
    ("m-2", "P-1", "09:05"),  # the publisher crashed, started again, and made a new message of the same payment
    ("m-3", "P-2", "09:07"),
)


def check_key(amqp_url: str, database_url: str, key_of: KeyOf) -> str:
    """A key that pays P-1 and P-2 once each, out of four messages that really arrive."""
    try:
        paid = _paid(amqp_url, database_url, key_of)
    except Exception as error:
        return f"Not yet: key_of raised {type(error).__name__}: {error}"
    if paid.count("P-1") > 1:
        return (
            f"Not yet: payment P-1 was made {paid.count('P-1')} times. Look at what its three messages have in common."
        )
    if "P-2" not in paid:
        return "Not yet: payment P-2 was taken for a copy of P-1. Ada waits for her money."
    return "Solved: four messages, two payments, each made once."


def _paid(amqp_url: str, database_url: str, key_of: KeyOf) -> list[str]:
    """Publish, consume with the key, and tell which payments were made."""
    paid: list[str] = []
    consumer = f"exercise {uuid.uuid4()}"  # keys of an earlier try don't count
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection, psycopg.connect(database_url) as db:
        db.autocommit = True
        db.execute(SCHEMA)
        channel = connection.channel()
        channel.queue_declare(_QUEUE, exclusive=True)
        for message_id, payment, sent_at in _ARRIVED:
            body = json.dumps({"payment": payment, "amount": 10, "account": "ada", "sent_at": sent_at})
            channel.basic_publish("", _QUEUE, body.encode(), BasicProperties(message_id=message_id))
        deliveries: Any = channel.consume(_QUEUE)
        for method, properties, body in islice(deliveries, len(_ARRIVED)):
            message = {"message_id": properties.message_id, **json.loads(body)}
            key = str(key_of(message))
            handle_once(db, consumer, key, lambda *_, made=message["payment"]: paid.append(made), body)
            channel.basic_ack(method.delivery_tag)
    return paid
