"""FastStream: `python -m` publishes; `faststream run benchmarks.peers.faststream_worker:app` works."""

from __future__ import annotations

import asyncio

from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from benchmarks.peers.job import AMQP_URL, JOBS, PAYLOAD, QUEUE, Stopwatch

_BATCH = 500
broker = RabbitBroker(AMQP_URL)
app = FastStream(broker)
queue = RabbitQueue(QUEUE, durable=True)
stopwatch = Stopwatch()


# Its default acks after the handler, too, but throws away what fails: this one gives it back.
@broker.subscriber(queue, channel=Channel(prefetch_count=100), ack_policy=AckPolicy.NACK_ON_ERROR)
async def work(payload: str) -> None:  # noqa: ARG001 - what is decoded for it counts
    stopwatch.tick()


async def publish() -> None:
    async with broker:
        await broker.declare_queue(queue)
        for start in range(0, JOBS, _BATCH):
            batch = range(start, min(start + _BATCH, JOBS))
            await asyncio.gather(*(broker.publish(PAYLOAD, queue=QUEUE, persist=True) for _ in batch))


if __name__ == "__main__":
    asyncio.run(publish())
