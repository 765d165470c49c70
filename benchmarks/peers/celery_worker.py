"""Celery: `python -m` publishes; `celery -A benchmarks.peers.celery_worker worker` works."""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from benchmarks.peers.job import AMQP_URL, JOBS, PAYLOAD, QUEUE, Stopwatch

app = Celery("bench", broker=AMQP_URL)
app.conf.update(
    task_default_queue=QUEUE,
    task_queues=[Queue(QUEUE, durable=True)],
    task_ignore_result=True,
    task_acks_late=True,  # after the task, as ours
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1000,  # times one process; its default of 4 is slower
)
stopwatch = Stopwatch()


@app.task(name="work")
def work(payload: str) -> None:  # noqa: ARG001 - what is decoded for it counts
    stopwatch.tick()


if __name__ == "__main__":
    for _ in range(JOBS):
        work.delay(PAYLOAD)
