"""Chapter 02: subscribers that come, go and are killed, under one clock; and what a copy for everybody costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import VirtualHost
from labs.display import Chart, Mark, Stretch, tracks
from labs.notebook.experiments.subscribers import subscriber
from labs.notebook.session import Notebook
from labs.patterns.pub_sub import EXCHANGE, durable_subscription, open_channel, publish
from labs.processes import wait_until
from labs.programs import Program

_TIMEOUT_S = 60.0
#: Between two events: room to tell them apart in a picture.
_GAP_S = 0.12


def got(*programs: Program) -> list[int]:
    """The events that programs have handled, all together, in the order of their numbers."""
    return sorted(told["number"] for program in programs for told in program.of("got"))


def wait_for_all(count: int, *programs: Program) -> None:
    """Wait until programs have handled so many events, all together.

    Raises:
        TimeoutError: they did not.
    """
    if not wait_until(lambda: len(got(*programs)) >= count, timeout_s=_TIMEOUT_S):
        raise TimeoutError(f"{len(got(*programs))} of {count} events came")


def consumers_come(vhost: VirtualHost, queue: str, count: int) -> None:
    """Wait until a queue has so many consumers.

    Raises:
        TimeoutError: it has not.
    """

    def all_there() -> bool:
        return any(found.name == queue for found in vhost.queues()) and vhost.depth(queue).consumers >= count

    if not wait_until(all_there, timeout_s=_TIMEOUT_S):
        raise TimeoutError(f"{queue} has fewer than {count} consumers")


def subscribe_up_to(count: int, channel: BlockingChannel, vhost: VirtualHost) -> list[str]:
    """Durable subscriptions s1, s2, ... and no others; returns the names of their queues."""
    queues = [durable_subscription(channel, f"s{number}") for number in range(1, count + 1)]
    for other in {queue.name for queue in vhost.queues()} - set(queues):
        channel.queue_delete(other)
    return queues


@dataclass
class _Life:
    """One process of a subscriber."""

    subscriber: str
    program: Program
    killed_at_s: float | None = None

    def has(self, event: int) -> bool:
        """Whether it has handled an event, or holds it."""
        return any(told["number"] == event for told in (*self.program.of("got"), *self.program.of("in hand")))


class Story:
    """Subscribers come and are killed while events are published; keeps who was there when, and who got what."""

    def __init__(self, lab: Notebook) -> None:
        self._lab = lab
        self._channel = open_channel(lab.amqp_url)
        self._lives: list[_Life] = []
        self._published: list[Mark] = []

    def comes(self, subscriber_name: str, *, durable: bool = False, dies_with: int | None = None) -> None:
        """Start a subscriber's process; with an event in hand it may hang, until it is killed."""
        name = subscriber_name if durable else None
        program = self._lab.program(subscriber, name=name, dies_with=dies_with, work_s=_GAP_S)
        self._lives.append(_Life(subscriber_name, program))

    def is_killed(self, *subscribers: str) -> None:
        """SIGKILL."""
        for life in self._living():
            if life.subscriber in subscribers:
                life.program.kill()
                life.killed_at_s = time.monotonic()

    def publishes(self, *events: int) -> None:
        """Publish events when everybody has subscribed who has come; wait until all of them have the last one.

        Raises:
            TimeoutError: somebody does not get it.
        """
        for life in self._living():
            life.program.wait_for("subscribed")
        for event in events:
            time.sleep(_GAP_S)
            self._published.append(Mark(time.monotonic(), "published", str(event)))
            publish(self._channel, str(event).encode())
        if not wait_until(lambda: all(life.has(events[-1]) for life in self._living()), timeout_s=_TIMEOUT_S):
            raise TimeoutError(f"event {events[-1]} did not come to everybody who is there")

    def _living(self) -> list[_Life]:
        return [life for life in self._lives if life.killed_at_s is None]

    def got(self, subscriber_name: str) -> list[int]:
        """What a subscriber has handled, in all its lives."""
        return sorted(set(got(*(life.program for life in self._lives if life.subscriber == subscriber_name))))

    def missed(self, subscriber_name: str) -> list[int]:
        """What was published and never handled by a subscriber."""
        published = {int(mark.note) for mark in self._published}
        return sorted(published - set(self.got(subscriber_name)))

    def ends(self) -> None:
        """Kill everybody who is left, and delete what they have subscribed to."""
        self.is_killed(*(life.subscriber for life in self._lives))
        for name in {life.subscriber for life in self._lives}:
            self._channel.queue_delete(f"{EXCHANGE}.{name}")
        self._channel.connection.close()

    def timeline(self, *, title: str) -> Chart:
        """Who was there when, and who got what: of a story that has ended."""
        start_s = self._published[0].at_s - 2 * _GAP_S
        lanes: dict[str, list[Mark | Stretch]] = {
            "publisher": [replace(mark, at_s=mark.at_s - start_s) for mark in self._published]
        }
        for life in self._lives:
            [came] = life.program.of("subscribed")
            killed_at_s = time.monotonic() if life.killed_at_s is None else life.killed_at_s
            lane = lanes.setdefault(life.subscriber, [])
            lane.append(Stretch(max(0.0, came.at_s - start_s), killed_at_s - start_s, "is there"))
            for event, kind in (("got", "handled"), ("in hand", "in hand when killed")):
                lane += [Mark(told.at_s - start_s, kind, str(told["number"])) for told in life.program.of(event)]
        return tracks(lanes, title=title)


def timed_ms(action: Callable[[], object], *, times: int) -> list[float]:
    """How long an action takes, each time."""
    took_ms = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        took_ms.append((time.perf_counter() - started) * 1000)
    return took_ms
