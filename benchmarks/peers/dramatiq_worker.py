"""Dramatiq: `python -m` publishes; `dramatiq benchmarks.peers.dramatiq_worker` works.

Durable queue, persistent messages, ack after the actor; its usual middleware: retries, age and time limits.
"""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.peers.job import AMQP_URL, JOBS, PAYLOAD, QUEUE, Stopwatch

dramatiq.set_broker(RabbitmqBroker(url=AMQP_URL))
stopwatch = Stopwatch()


@dramatiq.actor(queue_name=QUEUE)
def work(payload: str) -> None:  # noqa: ARG001 - what is decoded for it counts
    stopwatch.tick()


if __name__ == "__main__":
    for _ in range(JOBS):
        work.send(PAYLOAD)
