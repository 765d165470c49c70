"""Chapter 02: what runs in the processes of subscribers; imports little, so that they start fast."""

from __future__ import annotations

import time

from pika.adapters.blocking_connection import BlockingChannel

from labs.patterns.pub_sub import consume, durable_subscription, open_channel, temporary_subscription
from labs.programs import hang, report


def subscriber(url: str, *, name: str | None = None, dies_with: int | None = None, work_s: float = 0.0) -> None:
    """Subscribe durably under a name, or without one for as long as we are connected; tell of every event.

    Args:
        url: of the broker.
        name: of the durable subscription.
        dies_with: with this event in hand it hangs, not yet acknowledged, and waits to be killed.
        work_s: how long an event keeps it busy.
    """
    channel = open_channel(url)
    queue = durable_subscription(channel, name) if name else temporary_subscription(channel)
    listen(channel, queue, dies_with=dies_with, work_s=work_s)


def sharer(url: str, *, queue: str) -> None:
    """Take events from a queue that is there already, whoever else does."""
    listen(open_channel(url), queue, work_s=0.002)


def listen(channel: BlockingChannel, queue: str, *, dies_with: int | None = None, work_s: float = 0.0) -> None:
    """Consume and tell of every event."""

    def handle(event: bytes) -> None:
        time.sleep(work_s)
        if int(event) == dies_with:
            hang("in hand", number=int(event))
        report("got", number=int(event))

    report("subscribed", queue=queue)
    consume(channel, queue, handle)
