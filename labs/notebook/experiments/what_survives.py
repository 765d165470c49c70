"""Chapter 04: what a restart of the broker leaves of each kind of message in each kind of queue."""

from __future__ import annotations

from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from labs.broker import depth
from labs.errors import BrokerRefused
from labs.notebook.experiments.confirms_and_returns import take_all
from labs.patterns.confirms import connect
from labs.processes import wait_until

#: A quorum queue says that it is empty until it has elected a leader.
_LEADER_TIMEOUT_S = 10.0

#: Queues whose messages a restart may or may not spare, and how they are declared.
KINDS: dict[str, dict[str, Any]] = {
    "transient queue": {"durable": False},
    "durable classic queue": {"durable": True},
    "durable quorum queue": {"durable": True, "arguments": {"x-queue-type": "quorum"}},
}
MESSAGES = {"transient message": pika.DeliveryMode.Transient, "persistent message": pika.DeliveryMode.Persistent}


def fill_one_of_each(url: str) -> list[str]:
    """Put one message of each kind into a queue of each kind, confirmed; returns the kinds that were declared."""
    return [kind for kind in KINDS if _fill(url, kind)]


def _fill(url: str, kind: str) -> bool:
    """Whether the broker has such queues: recent ones may refuse (541) a transient queue that is not exclusive."""
    channel = connect(url)
    try:
        channel.queue_declare(kind, **KINDS[kind])
        for message, mode in MESSAGES.items():
            properties = pika.BasicProperties(delivery_mode=mode)
            channel.basic_publish("", kind, message.encode(), properties, mandatory=True)
    except (ChannelClosedByBroker, ConnectionClosedByBroker):
        return False
    finally:
        if channel.connection.is_open:
            channel.connection.close()
    return True


def left_of_each(url: str, declared: list[str]) -> dict[tuple[str, str], str]:
    """What is left now, by kind of queue and of message: `survived`, `lost`, `lost with its queue` or `refused`."""
    return {(kind, message): fate for kind in KINDS for message, fate in _left(url, kind, kind in declared).items()}


def _left(url: str, kind: str, declared: bool) -> dict[str, str]:
    if not declared:
        return dict.fromkeys(MESSAGES, "refused")
    try:
        wait_until(lambda: depth(url, kind).messages > 0, timeout_s=_LEADER_TIMEOUT_S)
        bodies = {taken.body for taken in take_all(url, kind)}
    except BrokerRefused:
        return dict.fromkeys(MESSAGES, "lost with its queue")
    return {message: "survived" if message in bodies else "lost" for message in MESSAGES}
