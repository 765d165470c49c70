"""Chapter 04: publishers whose broker dies under them, and the price of an answer."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pika
from pika.exceptions import AMQPError

from labs.patterns import confirms, confirms_async
from labs.patterns.confirms import CONFIRMED
from labs.patterns.confirms_async import UNKNOWN, ConfirmedPublisher
from labs.patterns.confirms_pipelined import publish_in_a_window, publish_in_batches
from labs.programs import report

PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)

#: A publisher tells how far it is each time it has handed over so many.
_EVERY = 100


def hope(*, url: str, queue: str) -> None:
    """Publish numbered messages without confirms, until the broker is gone."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    handed_over = 0
    try:
        for number in itertools.count():
            channel.basic_publish("", queue, str(number).encode(), PERSISTENT)
            handed_over = number + 1
            if handed_over % _EVERY == 0:
                report("progress", handed_over=handed_over)
    except AMQPError:
        report("broken", handed_over=handed_over)


def publish_confirmed(*, url: str, queue: str, window: int) -> None:
    """Publish numbered messages with at most `window` unanswered, until the broker is gone."""
    asyncio.run(_publish_confirmed(url, queue, window))


async def _publish_confirmed(url: str, queue: str, window: int) -> None:
    publisher = ConfirmedPublisher(await confirms_async.connect(url))
    room, answers = asyncio.Semaphore(window), dict[str, asyncio.Future[str]]()
    for number in itertools.count():
        await room.acquire()
        if not publisher.channel.is_open:
            break
        name = str(number)
        answers[name] = publisher.publish("", queue, name.encode(), message_id=name)
        answers[name].add_done_callback(lambda _: room.release())
        if (number + 1) % _EVERY == 0:
            report("progress", handed_over=number + 1, answered=sum(answer.done() for answer in answers.values()))
    said = {name: await answer for name, answer in answers.items()}
    report("broken", **{kind: [name for name in said if said[name] == kind] for kind in (CONFIRMED, UNKNOWN)})


def publish_and_die(*, url: str, queue: str, message_id: str) -> NoReturn:
    """Publish one message, then wait for SIGKILL instead of noting the answer."""
    asyncio.run(_publish_and_wait(url, queue, message_id))
    raise AssertionError("nobody killed us")


async def _publish_and_wait(url: str, queue: str, message_id: str) -> None:
    publisher = ConfirmedPublisher(await confirms_async.connect(url))
    publisher.publish("", queue, b"pay 10 euros", message_id=message_id)
    report("handed over")
    await asyncio.Event().wait()


def consume_one(*, url: str, queue: str, work_s: float) -> None:
    """Take one message, work on it, acknowledge it."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    deliveries: Iterator[Any] = channel.consume(queue)
    method, _, _ = next(deliveries)
    report("delivered")
    time.sleep(work_s)
    channel.basic_ack(method.delivery_tag)
    channel.connection.close()
    report("acknowledged")


@dataclass(frozen=True)
class Taken:
    """A message as a consumer got it."""

    body: str
    message_id: str | None
    redelivered: bool


def take_all(url: str, queue: str) -> list[Taken]:
    """Consume and acknowledge what is in a queue now."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        count = channel.queue_declare(queue, passive=True).method.message_count
        channel.basic_qos(prefetch_count=500)
        deliveries: Iterator[Any] = channel.consume(queue)
        taken = []
        for method, properties, body in itertools.islice(deliveries, count):
            taken.append(Taken(body.decode(), properties.message_id, method.redelivered))
            channel.basic_ack(method.delivery_tag)
        return taken


@dataclass
class Timing:
    """What publishing cost: how long the whole took, and each message from publish to answer."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Messages a second."""
        return len(self.latencies_ms) / self.seconds


class _TimedPublisher(ConfirmedPublisher):
    """Takes the time of each answer."""

    timing: Timing

    def publish(self, exchange: str, routing_key: str, body: bytes, *, message_id: str) -> asyncio.Future[str]:
        started_s = time.perf_counter()
        answer = super().publish(exchange, routing_key, body, message_id=message_id)
        took = self.timing.latencies_ms
        answer.add_done_callback(lambda _: took.append((time.perf_counter() - started_s) * 1000))
        return answer


def time_one_by_one(url: str, queue: str, *, count: int) -> Timing:
    """Publish `count` messages, each after the answer to the one before."""
    channel, timing = confirms.connect(url), Timing()
    began_s = time.perf_counter()
    for number in range(count):
        started_s = time.perf_counter()
        confirms.publish(channel, "", queue, b"hello", message_id=str(number))
        timing.latencies_ms.append((time.perf_counter() - started_s) * 1000)
    timing.seconds = time.perf_counter() - began_s
    channel.connection.close()
    return timing


async def time_in_batches(url: str, queue: str, *, count: int, size: int) -> Timing:
    """Publish `count` messages in batches of `size`."""
    return await _timed(url, lambda publisher: publish_in_batches(publisher, queue, _messages(count), size=size))


async def time_in_a_window(url: str, queue: str, *, count: int, window: int) -> Timing:
    """Publish `count` messages with at most `window` unanswered."""
    return await _timed(url, lambda publisher: publish_in_a_window(publisher, queue, _messages(count), window=window))


def _messages(count: int) -> dict[str, bytes]:
    return {str(number): b"hello" for number in range(count)}


async def _timed(url: str, work: Callable[[ConfirmedPublisher], Coroutine[Any, Any, list[str]]]) -> Timing:
    publisher = _TimedPublisher(await confirms_async.connect(url))
    publisher.timing = Timing()
    started_s = time.perf_counter()
    await work(publisher)
    publisher.timing.seconds = time.perf_counter() - started_s
    await close(publisher)
    return publisher.timing


async def close(publisher: ConfirmedPublisher) -> None:
    """Close its connection, and wait until that is done."""
    closed = asyncio.Event()
    publisher.channel.connection.add_on_close_callback(lambda *_: closed.set())
    publisher.channel.connection.close()
    await closed.wait()
