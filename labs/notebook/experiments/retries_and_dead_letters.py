"""Chapter 06: where an order was and when, what a queue keeps, and a message that kills one worker after the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from labs.display import Mark, Picture, Snapshot, Stretch, draw, snapshot
from labs.notebook.experiments.payments import take_and_die
from labs.notebook.session import Notebook
from labs.processes import wait_until
from labs.programs import Report

#: So that a stay that has no end yet is as wide as a word.
_TAIL_S = 0.8


def trail(attempts: Sequence[Report], depths: Sequence[Report], *, queues: Sequence[str]) -> dict[str, Any]:
    """Where one message was: lanes for `labs.display.tracks`, in seconds since its first attempt."""
    since_s = attempts[0].at_s
    end_s = max(told.at_s for told in (*attempts, *depths)) - since_s + _TAIL_S
    lanes: dict[str, list[Mark | Stretch]] = {
        "worker": [
            Mark(told.at_s - since_s, f"attempt: {told['outcome']}", str(number))
            for number, told in enumerate(attempts, start=1)
        ]
    }
    for queue in queues:
        kind = "dead" if queue.endswith(".dlq") else "waits"
        moments = [told.at_s - since_s for told in depths if told["queue"] == queue]
        stays = itertools.zip_longest(moments[::2], moments[1::2], fillvalue=end_s)
        lanes[queue] = [
            Stretch(start_s, left_s, kind, "" if kind == "dead" else f"{left_s - start_s:.1f} s")
            for start_s, left_s in stays
        ]
    return lanes


def charges(charged: Sequence[Report], redrives_s: dict[str, float]) -> dict[str, Any]:
    """When which order was charged: lanes for `labs.display.tracks`, in seconds since the first redrive.

    Args:
        charged: by the bank.
        redrives_s: what became of each redrive, and when it was, by `time.monotonic`.
    """
    since_s = min(redrives_s.values())
    lanes: dict[str, list[Mark]] = {"redrive": [Mark(at_s - since_s, what) for what, at_s in redrives_s.items()]}
    for told in charged:
        lanes.setdefault(f"bank: {told['order']}", []).append(Mark(told.at_s - since_s, "charged"))
    return lanes


def gaps_ms(reports: Sequence[Report]) -> list[float]:
    """Milliseconds from each report to the next."""
    return [(after.at_s - before.at_s) * 1000 for before, after in itertools.pairwise(reports)]


def killed_by(lab: Notebook, queue: str, *, most: int) -> int:
    """Start one worker after the other, each killed by the message it takes, until the message is in the DLQ.

    Returns:
        how many it took; not more than `most`.
    """
    for number in range(most):
        lab.program(take_and_die, queue=queue).wait()
        wait_until(lambda: _ready(lab, queue) + _ready(lab, f"{queue}.dlq") == 1, timeout_s=10, every_s=0.02)
        if _ready(lab, f"{queue}.dlq"):
            return number + 1
    return most


def wait_for_depth(lab: Notebook, queue: str, messages: int, *, timeout_s: float = 15.0) -> bool:
    """Wait until so many messages are ready in a queue; False if there never were."""
    return wait_until(lambda: _ready(lab, queue) == messages, timeout_s=timeout_s, every_s=0.02)


def wait_until_gone(lab: Notebook, queue: str) -> bool:
    """Wait until the broker has seen that a queue's consumer is dead; False if it never did."""
    return wait_until(lambda: lab.vhost.depth(queue).consumers == 0, timeout_s=10, every_s=0.02)


def _ready(lab: Notebook, queue: str) -> int:
    return lab.vhost.depth(queue).messages


def held(lab: Notebook, queue: str) -> int:
    """Dead letters that a queue keeps until they are confirmed elsewhere; as old as the broker's last report."""
    found = lab.vhost.management.queue(lab.vhost.name, queue)
    return found.messages - found.messages_ready - found.messages_unacknowledged


def wait_until_held(lab: Notebook, queue: str) -> bool:
    """Wait until the broker reports a dead letter that a queue keeps; False if it never does."""
    return wait_until(lambda: held(lab, queue) == 1, timeout_s=30, every_s=0.2)


def topology_of(lab: Notebook, prefix: str, *, title: str) -> Picture:
    """Draw only the queues whose names begin like that."""
    queues = [queue for queue in snapshot(lab.vhost).queues if queue.name.startswith(prefix)]
    return draw(Snapshot((), tuple(queues), ()), title=title)
