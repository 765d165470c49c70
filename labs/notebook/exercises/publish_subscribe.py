"""Chapter 02: a subscription for somebody who comes later, which can't fill the broker."""

from __future__ import annotations

import pika

from labs.broker import VirtualHost
from labs.broker.management_types import Queue
from labs.patterns.pub_sub import EXCHANGE, open_channel, publish

_QUEUE = "orders.audit"
_NEWEST = 5
_PUBLISHED = 8


def check_audit(vhost: VirtualHost) -> str:
    """A durable queue `orders.audit`, bound to `orders`, that keeps the newest five events."""
    queues = {queue.name: queue for queue in vhost.queues()}
    if _QUEUE not in queues:
        return f"Not yet: there is no queue `{_QUEUE}`."
    return _not_durable(queues[_QUEUE]) or _judge(_kept(vhost))


def _not_durable(queue: Queue) -> str:
    if queue.exclusive:
        return (
            f"Not yet: `{_QUEUE}` is exclusive, so it is gone when your connection ends, and nobody else may read it."
        )
    if queue.auto_delete or not queue.durable:
        return f"Not yet: `{_QUEUE}` would not be there tomorrow: make it durable, and not auto-delete."
    return ""


def _kept(vhost: VirtualHost) -> list[int]:
    """What the queue holds after a few more events."""
    channel = open_channel(vhost.amqp_url)
    channel.queue_purge(_QUEUE)
    for number in range(1, _PUBLISHED + 1):
        publish(channel, str(number).encode())
    kept = []
    while (event := _next(channel)) is not None:
        kept.append(event)
    channel.connection.close()
    return kept


def _next(channel: pika.adapters.blocking_connection.BlockingChannel) -> int | None:
    _, _, event = channel.basic_get(_QUEUE, auto_ack=True)
    return None if event is None else int(event)


def _judge(kept: list[int]) -> str:
    if not kept:
        return f"Not yet: {_PUBLISHED} orders were published, and none came: is `{_QUEUE}` bound to `{EXCHANGE}`?"
    newest = list(range(_PUBLISHED - _NEWEST + 1, _PUBLISHED + 1))
    if len(kept) > _NEWEST:
        return f"Not yet: of {_PUBLISHED} orders it keeps {len(kept)}, and so it grows for as long as nobody comes."
    if kept != newest:
        return f"Not yet: of {_PUBLISHED} orders it keeps {kept}; wanted: the newest five, {newest}."
    return f"Solved: of {_PUBLISHED} orders the newest five wait for the auditors, and tomorrow they still do."
