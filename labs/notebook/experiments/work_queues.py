"""Chapter 01: workers that are careful, careless, stuck and forgetful, and what they were seen to do."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from typing import NoReturn

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

from labs.broker.management_types import Channel
from labs.notebook.experiments.waits import until
from labs.notebook.session import Notebook
from labs.patterns.work_queue import declare, publish, work
from labs.programs import hang, report


@dataclass(frozen=True)
class Task:
    """Work that takes a known time.

    Args:
        number: 1 for the first.
        takes_ms: how long a worker sleeps over it.
        due_s: when it was to be published, in seconds of `time.monotonic`; 0: nobody will ask.
    """

    number: int
    takes_ms: float
    due_s: float = 0.0

    def encoded(self) -> bytes:
        """As the body of a message."""
        return json.dumps(asdict(self)).encode()


def decoded(body: bytes) -> Task:
    """A task from the body of a message."""
    return Task(**json.loads(body))


def do(body: bytes) -> None:
    """Do a task, and report when it began and when it was done."""
    task = decoded(body)
    report("began", **asdict(task))
    time.sleep(task.takes_ms / 1000)
    report("done", **asdict(task))


def stick(body: bytes) -> NoReturn:
    """Begin a task and never end it."""
    hang("began", **asdict(decoded(body)))


def worker(*, url: str, queue: str, prefetch: int) -> None:
    """The pattern's worker, as a program."""
    work(url, queue, do, prefetch=prefetch)


def stuck_worker(*, url: str, queue: str, prefetch: int) -> None:
    """The pattern's worker, stuck in its first task."""
    work(url, queue, stick, prefetch=prefetch)


def careless_worker(*, url: str, queue: str) -> None:
    """With automatic acknowledgement: the broker forgets a task when it has sent it. Stuck in its first task."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.basic_consume(queue, lambda *delivery: stick(delivery[-1]), auto_ack=True)
        channel.start_consuming()


def forgetful_worker(*, url: str, queue: str, prefetch: int) -> None:
    """Does every task that it is given, and acknowledges none."""

    def on_delivery(_: BlockingChannel, __: Basic.Deliver, ___: BasicProperties, body: bytes) -> None:
        do(body)

    parameters = pika.URLParameters(url)
    parameters.client_properties = {"connection_name": "forgetful worker"}
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume(queue, on_delivery)
        channel.start_consuming()


def watch(*, url: str, queue: str) -> None:
    """Report the number of ready messages, some fifty times a second."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        while True:
            report("depth", ready=channel.queue_declare(queue, passive=True).method.message_count)
            time.sleep(0.02)


@dataclass(frozen=True)
class Holder:
    """A channel that holds unacknowledged messages."""

    connection: str
    prefetch: int
    unacknowledged: int


def holders(lab: Notebook) -> list[Holder]:
    """Ask the broker who holds messages; waits until its figures, which are some seconds old, name somebody."""
    management, vhost = lab.vhost.management, lab.vhost.name

    def holding() -> list[Channel]:
        return [c for c in management.channels() if c.vhost == vhost and c.messages_unacknowledged > 0]

    until(lambda: holding() != [], what="the broker's next report")
    titles = {connection.name: connection.title for connection in management.connections(vhost)}
    # A channel is named after its connection, with its number in parentheses.
    return [
        Holder(titles.get(c.name.rpartition(" (")[0], c.name), c.prefetch_count, c.messages_unacknowledged)
        for c in holding()
    ]


class _Enough(Exception):
    """The last task has come."""


def done_by_another(lab: Notebook, queue: str) -> list[int]:
    """Be another worker on a queue, and delete it when it is empty; the numbers of all tasks that were found there."""
    last = Task(number=0, takes_ms=0)  # behind all that waits: when it comes, nothing is left before it
    publish(lab.amqp_url, queue, [last.encoded()])
    found: list[int] = []

    def note(body: bytes) -> None:
        if decoded(body) == last:
            raise _Enough
        found.append(decoded(body).number)

    with contextlib.suppress(_Enough):
        work(lab.amqp_url, queue, note)
    lab.vhost.management.delete_queue(lab.vhost.name, queue)
    return found


def lend_a_hand(lab: Notebook, queue: str) -> int:
    """Be one more worker, with a prefetch of 1, until nothing is left for it; how many tasks that were."""
    count = 0
    with pika.BlockingConnection(pika.URLParameters(lab.amqp_url)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        for method, _, body in channel.consume(queue, inactivity_timeout=0.3):
            if method is None or body is None:
                if lab.vhost.depth(queue).messages:
                    continue
                break
            time.sleep(decoded(body).takes_ms / 1000)
            channel.basic_ack(method.delivery_tag)
            count += 1
    return count


@dataclass(frozen=True)
class Speed:
    """How fast one worker was, and whether it saw the messages in the order in which they were published."""

    messages_a_second: float
    in_order: bool


def speed(lab: Notebook, *, prefetch: int, url: str | None = None) -> Speed:
    """Let one worker take and acknowledge tiny messages, several times more than it may hold; the better of two rounds.

    Args:
        url: how the worker reaches the broker, if not directly.
    """
    least = 300 if url is None else 60  # far away each takes longer, and what disturbs it weighs less
    rounds = [_round(lab, prefetch=prefetch, count=least + 5 * prefetch, url=url or lab.amqp_url) for _ in range(2)]
    return Speed(max(found.messages_a_second for found in rounds), all(found.in_order for found in rounds))


def _round(lab: Notebook, *, prefetch: int, count: int, url: str) -> Speed:
    queue, seen, at_s = "tiny", list[int](), list[float]()
    with pika.BlockingConnection(pika.URLParameters(lab.amqp_url)) as connection:
        channel = connection.channel()
        declare(channel, queue)
        for number in range(count):
            channel.basic_publish("", queue, str(number).encode())
        until(lambda: lab.vhost.depth(queue).messages == count, what="the messages")

    def see(body: bytes) -> None:
        seen.append(int(body))
        at_s.append(time.perf_counter())
        if len(seen) == count:
            raise _Enough

    with contextlib.suppress(_Enough):
        work(url, queue, see, prefetch=prefetch)
    lab.vhost.management.delete_queue(lab.vhost.name, queue)
    return Speed((count - 1) / (at_s[-1] - at_s[0]), seen == sorted(seen))
