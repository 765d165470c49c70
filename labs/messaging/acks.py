"""The answers of one channel to its deliveries; an ack never covers a delivery that is not finished.

What is finished within one turn of the event loop is acknowledged together, at its end: up to the highest tag below
which nothing is open, with one ack of them all; beyond it, each on its own. A crash before that brings back what was
finished in this turn, as it did when each ack was written at once: a socket is written to only between two turns.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from pika import exceptions

from labs.messaging.connection import Channel

#: Told how many deliveries had an outcome: acknowledged, requeued or orphaned.
Count = Callable[[str, int], None]


class Acks:
    """Acks, and what gives messages back, for all deliveries of a channel that nothing else answers."""

    def __init__(self, channel: Channel, count: Count) -> None:
        self._channel = channel
        self._count = count
        #: All deliveries up to this tag have been answered. A channel's tags are 1, 2, 3, ...
        self._answered_to = 0
        #: Answered beyond that.
        self._answered: set[int] = set()
        self._finished: set[int] = set()

    def ack(self, tag: int) -> None:
        """Acknowledge a finished delivery, at the end of this turn of the event loop."""
        if not self._finished:
            asyncio.get_running_loop().call_soon(self.flush)
        self._finished.add(tag)

    def requeue(self, tag: int) -> None:
        """Give a message back that was not worked on: where the broker tells so, it doesn't count as tried."""
        self._give_back(tag, lambda: self._channel.raw.basic_nack(tag, requeue=True))

    def reject(self, tag: int) -> None:
        """Give a message back that could not be settled: it counts towards the queue's delivery limit."""
        self._give_back(tag, lambda: self._channel.raw.basic_reject(tag, requeue=True))

    def _give_back(self, tag: int, send: Callable[[], None]) -> None:
        if not self._channel.is_open:
            return
        with contextlib.suppress(exceptions.AMQPError):
            send()
            self._answered.add(tag)
            self._count("requeued", 1)

    def flush(self) -> None:
        """Acknowledge what is finished, now."""
        finished, self._finished = self._finished, set()
        if not finished:
            return
        acknowledged = 0
        if self._channel.is_open:
            with contextlib.suppress(exceptions.AMQPError):
                for tag, covered in self._gathered(finished):
                    self._channel.raw.basic_ack(tag, multiple=covered > 1)
                    acknowledged += covered
        if acknowledged:
            self._count("acknowledged", acknowledged)
        if acknowledged < len(finished):  # the channel is gone: the broker will deliver them again
            self._count("orphaned", len(finished) - acknowledged)

    def _gathered(self, finished: set[int]) -> list[tuple[int, int]]:
        """The acks to send: a tag, and how many of the finished it covers with all that lies below it."""
        self._answered |= finished
        while self._answered_to + 1 in self._answered:
            self._answered_to += 1
            self._answered.discard(self._answered_to)
        below = [tag for tag in finished if tag <= self._answered_to]
        beyond = [(tag, 1) for tag in sorted(finished) if tag > self._answered_to]
        return [(max(below), len(below)), *beyond] if below else beyond
