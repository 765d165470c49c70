"""A work queue: every task goes to one of several workers, and none is lost when a worker dies.

Guaranteed: a task that `publish` has handed over is done at least once. It outlives a restart of the broker, and what
a dead worker has not acknowledged goes to another one at once.
Not guaranteed: only once (a worker that dies between the work and its ack leaves a task that is done again); the order
(with several workers, or after a crash); an end of the tries (a task that kills every worker comes back for ever).
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from functools import partial

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

from labs.patterns.address import broker_url


def declare(channel: BlockingChannel, queue: str) -> None:
    """Make the queue, unless it is there: durable, so that it outlives a restart of the broker."""
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})


def publish(url: str, queue: str, tasks: Iterable[bytes]) -> None:
    """Hand over tasks; returns when the broker has confirmed each: it is stored.

    Raises:
        AMQPError: publish this task again: the queue was deleted (UnroutableError), or the connection broke.
    """
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        declare(channel, queue)
        channel.confirm_delivery()
        for task in tasks:
            channel.basic_publish("", queue, task, BasicProperties(delivery_mode=2), mandatory=True)


def work(url: str, queue: str, do: Callable[[bytes], object], *, prefetch: int = 1) -> None:
    """Take tasks and do them one by one, for ever. Several processes may; when one dies, others get what it held.

    Args:
        do: the work; a task that takes minutes outlasts the heartbeats, and belongs into a thread of its own.
        prefetch: how many unacknowledged tasks this worker may hold; 0: as many as there are.
    """

    def on_delivery(channel: BlockingChannel, method: Basic.Deliver, _: BasicProperties, body: bytes) -> None:
        do(body)
        channel.basic_ack(method.delivery_tag)  # only now: whoever acknowledges first loses the task in a crash

    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        declare(channel, queue)
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume(queue, on_delivery)
        channel.start_consuming()


def main() -> None:
    """One of two workers is killed in the middle of its work; the other one does what is left, that task too."""
    url, queue = broker_url(), f"demo.work_queue.{os.getpid()}"
    reader, writer = multiprocessing.Pipe(duplex=False)
    publish(url, queue, [f"task {number}".encode() for number in range(1, 7)])
    jobs = {name: partial(_paint, name, writer.send) for name in ("ann", "bob")}
    ann, bob = (multiprocessing.Process(target=work, args=(url, queue, do), daemon=True) for do in jobs.values())
    ann.start()
    done: set[str] = set()
    while len(done) < 6:
        name, task = reader.recv()
        print(f"{name} has done {task}" + (", and is killed in the middle of the next one" if not done else ""))
        if not done:
            ann.kill()
            bob.start()
        done.add(task)
    bob.kill()
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().queue_delete(queue)


def _paint(name: str, tell: Callable[[tuple[str, str]], None], task: bytes) -> None:
    time.sleep(0.5)
    tell((name, task.decode()))


if __name__ == "__main__":
    main()
