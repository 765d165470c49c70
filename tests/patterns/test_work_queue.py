"""The work queue: no task is lost with its worker, and none is held that somebody else could do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pika
import pytest
from pika.exceptions import UnroutableError

from labs.broker import VirtualHost
from labs.patterns.work_queue import publish, work
from labs.processes import wait_until
from labs.programs import Program, hang, report

QUEUE = "tasks"
FIVE = [b"1", b"2", b"3", b"4", b"5"]


def hold(*, url: str, prefetch: int) -> None:
    """Never get beyond the first task."""
    work(url, QUEUE, lambda task: hang("holds", task=task.decode()), prefetch=prefetch)


def finish(*, url: str) -> None:
    work(url, QUEUE, lambda task: report("done", task=task.decode()))


def becomes(vhost: VirtualHost, *, messages: int, consumers: int) -> bool:
    def now() -> bool:
        depth = vhost.depth(QUEUE)
        return (depth.messages, depth.consumers) == (messages, consumers)

    return wait_until(now, timeout_s=60, every_s=0.02)


def test_no_task_is_lost_when_its_worker_is_killed(vhost: VirtualHost) -> None:
    # Given a worker that holds all five tasks, in the middle of the first
    publish(vhost.amqp_url, QUEUE, FIVE)
    with Program(hold, url=vhost.amqp_url, prefetch=5) as victim:
        victim.wait_for("holds")
        assert becomes(vhost, messages=0, consumers=1)
        # When it is killed
        assert victim.kill() == -signal.SIGKILL
    # Then another one does all five.
    assert becomes(vhost, messages=5, consumers=0)
    with Program(finish, url=vhost.amqp_url) as other:
        assert [told["task"] for told in other.wait_for("done", count=5)] == ["1", "2", "3", "4", "5"]


def test_what_is_done_does_not_come_again(vhost: VirtualHost) -> None:
    publish(vhost.amqp_url, QUEUE, FIVE)
    with Program(finish, url=vhost.amqp_url) as worker:
        worker.wait_for("done", count=5)
        assert becomes(vhost, messages=0, consumers=1)
    # The last ack may not have been sent when the worker was killed; all others have.
    assert wait_until(lambda: vhost.depth(QUEUE).consumers == 0, timeout_s=60)
    assert vhost.depth(QUEUE).messages <= 1


def test_a_task_whose_work_fails_goes_back(vhost: VirtualHost) -> None:
    def fail(task: bytes) -> None:
        raise ValueError(task)

    publish(vhost.amqp_url, QUEUE, FIVE)
    with pytest.raises(ValueError, match="1"):
        work(vhost.amqp_url, QUEUE, fail)
    assert becomes(vhost, messages=5, consumers=0)


def test_a_worker_leaves_to_others_what_it_may_not_hold(vhost: VirtualHost) -> None:
    publish(vhost.amqp_url, QUEUE, FIVE)
    with Program(hold, url=vhost.amqp_url, prefetch=2) as busy:
        busy.wait_for("holds")
        assert becomes(vhost, messages=3, consumers=1)
        with Program(finish, url=vhost.amqp_url) as free:
            assert [told["task"] for told in free.wait_for("done", count=3)] == ["3", "4", "5"]


def test_one_at_a_time_is_the_default(vhost: VirtualHost) -> None:
    seen = []

    def look(_: bytes) -> None:
        # A quorum queue that is slow to answer is told as empty.
        wait_until(lambda: vhost.depth(QUEUE).messages == len(FIVE) - 1 - len(seen), timeout_s=60)
        seen.append(vhost.depth(QUEUE).messages)
        if len(seen) == len(FIVE):
            raise KeyboardInterrupt

    publish(vhost.amqp_url, QUEUE, FIVE)
    with pytest.raises(KeyboardInterrupt):
        work(vhost.amqp_url, QUEUE, look)
    assert seen == [4, 3, 2, 1, 0]


def test_queue_and_tasks_are_made_to_outlive_a_restart(vhost: VirtualHost) -> None:
    publish(vhost.amqp_url, QUEUE, [b"task"])
    [queue] = vhost.queues()
    assert (queue.durable, queue.type) == (True, "quorum")
    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as connection:
        _, properties, body = connection.channel().basic_get(QUEUE)
    assert (body, properties.delivery_mode) == (b"task", 2)


def test_a_task_that_is_not_stored_is_an_error(vhost: VirtualHost) -> None:
    def tasks() -> Iterator[bytes]:
        yield b"stored"
        vhost.management.delete_queue(vhost.name, QUEUE)
        yield b"homeless"

    with pytest.raises(UnroutableError):
        publish(vhost.amqp_url, QUEUE, tasks())


def test_the_demo_ends_and_leaves_nothing_behind(vhost: VirtualHost) -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "labs.patterns.work_queue"],
        env={
            **os.environ,
            "LAB_AMQP_URL": vhost.amqp_url,
            "LAB_MANAGEMENT_URL": vhost.broker.management_url,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    first, *others = demo.stdout.splitlines()
    assert first == "ann has done task 1, and is killed in the middle of the next one"
    # (A parent that is slow to kill may let her finish it.)
    assert {line.removeprefix("ann ").removeprefix("bob ") for line in others} >= {
        f"has done task {number}" for number in range(2, 7)
    }
    assert {f"bob has done task {number}" for number in range(3, 7)} <= set(others)
    assert vhost.queues() == []
