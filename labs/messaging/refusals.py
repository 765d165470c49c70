"""Tells a queue that is full from one that has forgotten to take its refusal back; only a new channel can find out.

A full quorum queue tells each channel that it refuses, and tells it again when it has room. It doesn't where its limit
was taken away meanwhile (a policy deleted): what comes on that channel is nacked for ever, though the queue is empty.
Seen on RabbitMQ 3.10.8.
"""

from __future__ import annotations

Route = tuple[str, str]


class Refusals:
    """The routes (exchange and key) of a channel that nothing got through since they were refused.

    Args:
        patience_s: seconds after which a refusal is doubted.
    """

    def __init__(self, *, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: dict[Route, float] = {}

    def note(self, route: Route, *, nacked: bool, now_s: float) -> bool:
        """Note how a publish ended; whether this route is refused for so long that its channel should be renewed."""
        if not nacked:
            self._since.pop(route, None)
            return False
        return now_s - self._since.setdefault(route, now_s) >= self._patience_s

    def forget(self) -> None:
        """Begin anew, with a new channel."""
        self._since.clear()
