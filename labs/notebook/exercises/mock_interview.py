"""Chapter 13: how much prefetch an urgent message can bear."""

from __future__ import annotations

from labs.broker import VirtualHost
from labs.notebook.experiments.mock_interview import place_of_the_urgent

_ALLOWED = 3


def check_prefetch(vhost: VirtualHost, prefetch: int) -> str:
    """The largest prefetch with which an urgent message waits for at most three others: tried on the broker."""
    if not isinstance(prefetch, int) or not 1 <= prefetch <= 1000:
        return "Not yet: a prefetch is a whole number from 1 to 1000."
    before = place_of_the_urgent(vhost, prefetch=prefetch) - 1
    if before > _ALLOWED:
        return f"Not yet: with {prefetch} the urgent message waited for {before} others."
    if place_of_the_urgent(vhost, prefetch=prefetch + 1) - 1 <= _ALLOWED:
        return f"Not yet: with {prefetch} it waited for {before}, and a larger prefetch would do too."
    return f"Solved: it waited for {before}, and the consumer is as busy as that allows."
