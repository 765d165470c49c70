"""Publisher confirms, one by one: publish, wait for the broker's answer, and only then go on.

Guaranteed: a `CONFIRMED` message was routed to a queue (it is `mandatory`), and is now the broker's responsibility.
Persistent and in a durable queue, it outlives a crash of the broker. `RETURNED`: no queue wanted it. `NACKED`: a queue
refused it, for example because it is full. In both cases the broker keeps nothing: the message is still yours.

Not guaranteed: that anybody has consumed it, or ever will. If the connection breaks or this process dies before the
answer, nobody knows: the message may be in the queue or not. Publish it again with the same `message_id`, and expect
a duplicate. The wait has no end of its own: `blocked_connection_timeout` bounds it while an alarm blocks publishers.
"""

from __future__ import annotations

import logging

import pika
from pika.adapters.blocking_connection import BlockingChannel

from labs.patterns.address import broker_url

CONFIRMED = "confirmed"
RETURNED = "returned"
NACKED = "nacked"

QUEUE = "pattern.confirms"
_BLOCKED_TIMEOUT_S = 30.0


def connect(url: str) -> BlockingChannel:
    """A channel in confirm mode: from here on the broker answers every message."""
    parameters = pika.URLParameters(url)
    parameters.blocked_connection_timeout = _BLOCKED_TIMEOUT_S
    channel = pika.BlockingConnection(parameters).channel()
    channel.confirm_delivery()
    return channel


def publish(channel: BlockingChannel, exchange: str, routing_key: str, body: bytes, *, message_id: str) -> str:
    """Publish one persistent message and wait: `CONFIRMED`, `RETURNED` or `NACKED`.

    Raises:
        AMQPError: the connection or channel broke before the answer came: nobody knows, so publish it again.
    """
    properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent, message_id=message_id)
    try:
        channel.basic_publish(exchange, routing_key, body, properties, mandatory=True)
    except pika.exceptions.UnroutableError:
        return RETURNED
    except pika.exceptions.NackError:
        return NACKED
    return CONFIRMED


def main() -> None:
    """Publish four messages: two fit into the queue, one doesn't, one leads nowhere."""
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it logs each nack, and we print it
    channel = connect(broker_url())
    channel.queue_delete(QUEUE)
    limits = {"x-max-length": 2, "x-overflow": "reject-publish"}
    channel.queue_declare(QUEUE, durable=True, arguments=limits)

    for number, routing_key in enumerate((QUEUE, QUEUE, QUEUE, "pattern.confirm")):
        body = f"message {number}".encode()
        answer = publish(channel, "", routing_key, body, message_id=str(number))
        print(f"message {number} to {routing_key}: {answer}")

    kept = channel.queue_declare(QUEUE, passive=True).method.message_count
    print(f"in the queue: {kept} messages, and nobody has consumed them")
    channel.queue_delete(QUEUE)
    channel.connection.close()


if __name__ == "__main__":
    main()
