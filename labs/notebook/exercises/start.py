"""Chapter 00: a binding that catches what is urgent."""

from __future__ import annotations

from labs.broker import VirtualHost


def check_urgent(vhost: VirtualHost) -> str:
    """An exchange `news` whose messages with any key ending in `.urgent` reach the queue `urgent`."""
    exchanges = {exchange.name: exchange for exchange in vhost.exchanges()}
    if "news" not in exchanges:
        return "Not yet: there is no exchange `news`."
    if exchanges["news"].type != "topic":
        return f"Not yet: `news` is a {exchanges['news'].type} exchange, and only a topic exchange knows wildcards."
    if "urgent" not in {queue.name for queue in vhost.queues()}:
        return "Not yet: there is no queue `urgent`."
    vhost.management.purge_queue(vhost.name, "urgent")
    for key, wanted in (("sport.urgent", 1), ("sport.late.urgent", 1), ("urgent", 1), ("sport.calm", 0)):
        vhost.management.publish(vhost.name, "news", key, key)
        got = len(vhost.management.get(vhost.name, "urgent", count=10))
        if got != wanted:
            return f"Not yet: a message with the key `{key}` arrived {got} times in `urgent`; wanted: {wanted}."
    return "Solved: every urgent message arrives, once, and nothing else does."
