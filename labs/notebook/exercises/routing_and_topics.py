"""Chapter 03: bindings that catch just what one desk has to see."""

from __future__ import annotations

from labs.broker import VirtualHost
from labs.notebook.experiments.routing_and_topics import arrivals
from labs.patterns.routing import open_channel

_EXCHANGE, _QUEUE = "desk", "eu-desk"
#: How often a message with each key has to arrive.
_WANTED = {
    "order.eu.paid": 1,
    "order.eu.de.berlin.paid": 1,
    "order.us.paid": 0,
    "order.eu.open": 0,
    "order.eu.paid.late": 0,
    "refund": 1,
    "refund.us.asked": 1,
    "order.refund": 0,
}


def check_desk(vhost: VirtualHost) -> str:
    """A queue `eu-desk`, bound to `desk`, with every paid order of the EU and every refund."""
    if _QUEUE not in {queue.name for queue in vhost.queues()}:
        return f"Not yet: there is no queue `{_QUEUE}`."
    channel = open_channel(vhost.amqp_url)
    channel.queue_purge(_QUEUE)
    got = {key: arrivals(channel, key, exchanges=[_EXCHANGE], queues=[_QUEUE])[_QUEUE] for key in _WANTED}
    channel.connection.close()
    for key, wanted in _WANTED.items():
        if got[key] != wanted:
            return f"Not yet: a message with the key `{key}` arrives {got[key]} times; wanted: {wanted}."
    return f"Solved: all {len(_WANTED)} keys are routed as the desk wants."
