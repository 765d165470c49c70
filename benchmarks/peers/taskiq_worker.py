"""Taskiq: `python -m` publishes; `taskiq worker benchmarks.peers.taskiq_worker:broker` works."""

from __future__ import annotations

import asyncio

from taskiq_aio_pika import AioPikaBroker, Queue

from benchmarks.peers.job import AMQP_URL, JOBS, PAYLOAD, QUEUE, Stopwatch

_BATCH = 500
broker = AioPikaBroker(AMQP_URL, qos=100, task_queues=[Queue(name=QUEUE)])
stopwatch = Stopwatch()


@broker.task(task_name="work")
async def work(payload: str) -> None:  # noqa: ARG001 - what is decoded for it counts
    stopwatch.tick()


async def publish() -> None:
    await broker.startup()
    for start in range(0, JOBS, _BATCH):
        await asyncio.gather(*(work.kiq(PAYLOAD) for _ in range(start, min(start + _BATCH, JOBS))))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(publish())
