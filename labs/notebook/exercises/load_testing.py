"""Chapter 10: a loop that measures from the time at which each message was meant to go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pika

from labs.broker import Node, VirtualHost
from labs.notebook.experiments.load_testing import Pause

_QUEUE = "exercise"
#: Few enough that the slowest machine keeps up, one message after the other.
_RATE = 50.0
_COUNT = 75
_PAUSE_AT = 20
_PAUSE_S = 0.5
#: Longer than any message takes while the broker is well, shorter than the pause by far.
_SLOW_MS = 100.0

Load = Callable[..., Sequence[float]]


def check_load(node: Node, vhost: VirtualHost, load: Load) -> str:
    """The learner's loop publishes 75 messages at 50 a second, while the broker stands still for half a second."""
    pause = Pause(node, seconds=_PAUSE_S)
    published = 0
    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_delete(_QUEUE)
        channel.queue_declare(_QUEUE, durable=True)
        channel.confirm_delivery()

        def publish() -> None:
            nonlocal published
            published += 1
            if published == _PAUSE_AT:
                pause.begin()
            channel.basic_publish("", _QUEUE, b"hello")

        took_ms = load(publish, rate=_RATE, count=_COUNT)
    if published < _PAUSE_AT:
        return f"Not yet: of {_COUNT} messages that were asked for, {published} went."
    pause.join()
    return _judged(list(took_ms), published, pause)


def _judged(took_ms: list[float], published: int, pause: Pause) -> str:
    if published != _COUNT or len(took_ms) != _COUNT:
        return f"Not yet: {_COUNT} were asked for, {published} published and {len(took_ms)} measured."
    slow = sum(took > _SLOW_MS for took in took_ms)
    # Meant to go while the broker stood still, and so early that they waited for longer than that.
    due = (pause.length_s - _SLOW_MS / 1000) * _RATE
    if slow < due / 2:
        return (
            f"Not yet: the broker stood still for {_PAUSE_S:g} s, in which {_PAUSE_S * _RATE:.0f} messages were meant "
            "to go, and your numbers tell of hardly any of them. From which moment do you measure?"
        )
    if slow > 2 * due:
        return "Not yet: most messages seem slow, though the broker was well for most of the time. Do you fall behind?"
    return "Solved: one pause, and every message that it delayed is in your numbers."
