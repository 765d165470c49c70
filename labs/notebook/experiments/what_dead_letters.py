"""Chapter 06: all the ways for a message to leave a queue, each really taken, and where the message is afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, NackError

from labs.notebook.experiments.payments import take_and_hang
from labs.notebook.session import Notebook
from labs.processes import wait_until

IT, ANOTHER = b"the message", b"another message"
#: Longer than any time to live below, and than the broker needs for a dead letter that was not to be.
_GRACE_S = 1.0


@dataclass(frozen=True)
class Scene:
    """A queue with a dead-letter queue of its own and the message in it, and what is done to it."""

    lab: Notebook
    channel: BlockingChannel
    queue: str

    def take(self) -> int:
        """Fetch the message; returns its delivery tag."""
        method, _, _ = self.channel.basic_get(self.queue)
        assert method is not None
        return int(method.delivery_tag)

    def publish(self, *bodies: bytes, queue: str | None = None, ttl: str | None = None) -> None:
        """Publish with a confirm, but without `mandatory`."""
        for body in bodies:
            self.channel.basic_publish("", queue or self.queue, body, pika.BasicProperties(expiration=ttl))

    def kill_consumer(self) -> None:
        """Let a process consume the message, and kill it with SIGKILL before it acknowledges."""
        with self.lab.program(take_and_hang, queue=self.queue) as consumer:
            consumer.wait_for("took it")

    def give_back(self, *, times: int) -> None:
        """Reject it with requeue, again and again; a quorum queue hands it out again only after a moment."""
        for _ in range(times):
            wait_until(lambda: self.lab.vhost.depth(self.queue).messages == 1, timeout_s=5, every_s=0.01)
            self.channel.basic_reject(self.take(), requeue=True)


@dataclass(frozen=True)
class Way:
    """What is done, on a queue with these arguments; `is_there`: the message is put into the queue before."""

    act: Callable[[Scene], object]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    is_there: bool = True


def ways() -> dict[str, Way]:
    """Each by its name."""
    limit = {"x-queue-type": "quorum", "x-delivery-limit": 1}
    refuse = {"x-max-length": 1, "x-overflow": "reject-publish"}
    return {
        "reject, not requeued": Way(lambda it: it.channel.basic_reject(it.take(), requeue=False)),
        "nack, not requeued": Way(lambda it: it.channel.basic_nack(it.take(), requeue=False)),
        "time to live over (of the queue)": Way(lambda _: None, {"x-message-ttl": 100}),
        "time to live over (of the message)": Way(lambda it: it.publish(IT, ttl="100"), is_there=False),
        "queue full: the oldest is dropped": Way(lambda it: it.publish(ANOTHER), {"x-max-length": 1}),
        "delivery limit exceeded": Way(lambda it: it.give_back(times=2), limit),
        "queue full: the newest is refused": Way(lambda it: it.publish(ANOTHER, IT), refuse, is_there=False),
        "nack, requeued": Way(lambda it: it.channel.basic_nack(it.take(), requeue=True)),
        "consumer killed": Way(lambda it: it.kill_consumer()),
        "queue purged": Way(lambda it: it.channel.queue_purge(it.queue)),
        "queue deleted": Way(lambda it: it.channel.queue_delete(it.queue)),
        "queue expired, as nobody used it": Way(lambda _: None, {"x-expires": 100}),
        "no queue for its key": Way(lambda it: it.publish(IT, queue="no.such.queue"), is_there=False),
    }


@dataclass(frozen=True)
class End:
    """Where the message is; the reason that the broker wrote into `x-death`, if it is in the dead-letter queue."""

    where: str
    reason: str = "-"

    @property
    def is_dead_letter(self) -> str:
        return "yes" if self.reason != "-" else "no"


def try_all(lab: Notebook) -> dict[str, End]:
    """Take every way, wait a second, then look where each message is."""
    channel = pika.BlockingConnection(pika.URLParameters(lab.amqp_url)).channel()
    channel.confirm_delivery()
    scenes = {name: Scene(lab, channel, f"way.{number:02}") for number, name in enumerate(ways())}
    refused = {name for name, way in ways().items() if _is_refused(scenes[name], way)}
    channel.connection.sleep(_GRACE_S)
    ends = {name: End("still with the publisher") if name in refused else _end(scenes[name]) for name in scenes}
    for scene in scenes.values():
        channel.queue_delete(scene.queue)
        channel.queue_delete(f"{scene.queue}.dlq")
    channel.connection.close()
    return ends


def _is_refused(it: Scene, way: Way) -> bool:
    """Take a way; whether the broker refused to store the message."""
    dies = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{it.queue}.dlq"}
    it.channel.queue_declare(f"{it.queue}.dlq", durable=True)
    it.channel.queue_declare(it.queue, durable=True, arguments={**dies, **way.arguments})
    if way.is_there:
        it.publish(IT)
    try:
        way.act(it)
    except NackError:
        return True
    return False


def _end(it: Scene) -> End:
    for _, properties, body in _all_in(it, f"{it.queue}.dlq"):
        if body == IT:
            return End("in the dead-letter queue", properties.headers["x-death"][0]["reason"])
    if any(body == IT for _, _, body in _all_in(it, it.queue)):
        return End("back in its queue")
    return End("gone")


def _all_in(it: Scene, queue: str) -> list[Any]:
    """All that is ready there, on a channel of its own: a queue that doesn't exist closes it."""
    channel = it.channel.connection.channel()
    found: list[Any] = []
    with contextlib.suppress(ChannelClosedByBroker):
        while (fetched := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(fetched)
        channel.close()
    return found
