"""Ours: `python -m` with `publish` publishes, with `work` works: confirms, retries and dead letters are on."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys

import uvloop
from pydantic import BaseModel

from benchmarks.peers.job import AMQP_URL, JOBS, PAYLOAD, QUEUE, Stopwatch
from labs.messaging.consumer import Consumer
from labs.messaging.delivery import ConsumerConfig, Delivery
from labs.messaging.message import Schema, Schemas
from labs.messaging.publisher import Publisher
from labs.messaging.retry import RetryPolicy
from labs.messaging.topology import declare, work_queue

_DELAYS_MS = (1000, 2000, 4000)
#: A quorum queue with its retry queues and its dead-letter queue.
_TOPOLOGY = work_queue(QUEUE, delays_ms=_DELAYS_MS)
_PREFETCH = 500  # the lab's default


class Job(BaseModel):
    """A job's body, validated on its way in as in any of our consumers."""

    payload: str


_JOB = Schema("job", 1, Job)


def _publisher() -> Publisher:
    return Publisher(AMQP_URL, name="bench publisher", prepare=lambda channel: declare(channel, _TOPOLOGY))


async def publish() -> None:
    async with _publisher() as publisher:
        messages = [_JOB.message(Job(payload=PAYLOAD)) for _ in range(JOBS)]
        await asyncio.gather(*(publisher.publish(each, exchange="", routing_key=QUEUE) for each in messages))


async def work() -> None:
    """Work until SIGTERM."""
    stop, stopwatch = asyncio.Event(), Stopwatch()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def handle(_: Delivery) -> None:
        stopwatch.tick()

    config = ConsumerConfig(QUEUE, _TOPOLOGY, Schemas(_JOB), RetryPolicy(_DELAYS_MS), prefetch=_PREFETCH)
    async with _publisher() as publisher:
        consumer = Consumer(AMQP_URL, config, handle, publisher=publisher, name="bench consumer")
        running = asyncio.create_task(consumer.run())
        await stop.wait()
        await consumer.stop(grace_s=5)
        running.cancel()


if __name__ == "__main__":
    gc.freeze()  # as every process of the lab does
    uvloop.run(publish() if sys.argv[1] == "publish" else work())
