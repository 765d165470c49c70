"""Chapter 06: a queue, a delay that leads back to it, and a dead-letter queue."""

from __future__ import annotations

import time
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import VirtualHost

_QUEUES = ("calls", "calls.later", "calls.dead")
_DELAY_MS = 300
_TIMEOUT_S = 5.0


def check_calls(vhost: VirtualHost) -> str:
    """What waits in `calls.later` is in `calls` after 300 ms; what is rejected in `calls` is in `calls.dead`."""
    queues = {queue.name: queue for queue in vhost.queues()}
    for name in _QUEUES:
        if name not in queues:
            return f"Not yet: there is no queue `{name}`."
    if queues["calls.later"].arguments.get("x-message-ttl") != _DELAY_MS:
        return f"Not yet: nothing leaves `calls.later` by itself after {_DELAY_MS} ms: it needs an `x-message-ttl`."
    connection = pika.BlockingConnection(pika.URLParameters(vhost.amqp_url))
    try:
        return _try_out(connection.channel())
    finally:
        connection.close()


def _try_out(channel: BlockingChannel) -> str:
    for name in _QUEUES:
        channel.queue_purge(name)
    channel.basic_publish("", "calls.later", b"ring")
    called = _get(channel, "calls")
    if called is None:
        return (
            "Not yet: a message in `calls.later` never came to `calls`. "
            "A dead letter keeps its old key, here `calls.later`, unless the queue says another."
        )
    channel.basic_reject(called.delivery_tag, requeue=False)
    if _get(channel, "calls.dead") is None:
        return "Not yet: a message that is rejected in `calls` doesn't lie in `calls.dead` afterwards."
    return "Solved: a call comes back after its delay, and a rejected one is kept."


def _get(channel: BlockingChannel, queue: str) -> Any | None:
    """The next message of a queue, if one comes in time."""
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        method, _, _ = channel.basic_get(queue)
        if method is not None:
            return method
        channel.connection.sleep(0.02)
    return None
