"""The guarantee of the retry: never earlier than promised, never lost, and the dead-letter queue says why."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import UnroutableError
from pika.spec import BasicProperties

from labs.broker import VirtualHost
from labs.notebook.experiments.payments import failing_worker, interrupted_redrive, take_and_die
from labs.patterns.retry_dlq import declare, publish, redrive, settle
from labs.processes import wait_until
from labs.programs import Program
from labs.settings import ROOT

QUEUE, DLQ = "jobs", "jobs.dlq"
DELAYS_MS = (100, 200, 300)
JOB = BasicProperties(message_id="job-1", type="job")


@pytest.fixture
def channel(vhost: VirtualHost) -> Iterator[BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as connection:
        opened = connection.channel()
        opened.confirm_delivery()
        declare(opened, QUEUE, delays_ms=DELAYS_MS)
        yield opened


def fail_with(error: Exception) -> Callable[[bytes], None]:
    def task(_: bytes) -> None:
        raise error

    return task


def settle_all(
    channel: BlockingChannel, task: Callable[[bytes], object], *, until: Callable[[], bool]
) -> list[tuple[float, BasicProperties]]:
    """Settle every delivery until the condition holds; when each came and with which properties."""
    seen: list[tuple[float, BasicProperties]] = []
    deadline = time.monotonic() + 60
    for delivery in channel.consume(QUEUE, inactivity_timeout=0.05):
        method, properties, _ = delivery
        if method is not None and properties is not None:
            seen.append((time.monotonic(), properties))
            settle(channel, channel, delivery, queue=QUEUE, task=task, delays_ms=DELAYS_MS)
        elif until():
            break
        assert time.monotonic() < deadline, f"it never came to an end: {seen}"
    channel.cancel()
    return seen


def ready(vhost: VirtualHost, queue: str, messages: int) -> bool:
    return wait_until(lambda: vhost.depth(queue).messages == messages, timeout_s=60, every_s=0.02)


def is_dead(vhost: VirtualHost) -> Callable[[], bool]:
    return lambda: vhost.depth(DLQ).messages > 0


def test_each_wait_is_at_least_as_long_as_promised_and_then_it_is_dead(
    vhost: VirtualHost, channel: BlockingChannel
) -> None:
    publish(channel, QUEUE, b"job", JOB)
    seen = settle_all(channel, fail_with(ConnectionError("down")), until=is_dead(vhost))
    gaps_ms = [(after - before) * 1000 for (before, _), (after, _) in itertools.pairwise(seen)]
    assert len(gaps_ms) == len(DELAYS_MS)
    assert all(gap_ms >= delay_ms for gap_ms, delay_ms in zip(gaps_ms, DELAYS_MS, strict=True))
    [(_, letter, body)] = redrive(channel, QUEUE)
    assert letter.headers == {"attempt": 4, "reason": "ConnectionError('down')"}
    assert (letter.message_id, letter.type, letter.delivery_mode, body) == ("job-1", "job", 2, b"job")


def test_a_task_that_succeeds_in_the_end_leaves_nothing(vhost: VirtualHost, channel: BlockingChannel) -> None:
    # Given a task that fails twice
    errors: list[Exception] = [ConnectionError(), TimeoutError()]
    done: list[bytes] = []

    def task(body: bytes) -> None:
        if errors:
            raise errors.pop()
        done.append(body)

    publish(channel, QUEUE, b"job", JOB)
    # When it is tried until it succeeds
    seen = settle_all(channel, task, until=lambda: bool(done))
    # Then it has run three times, under one id, without the broker's own headers, and nothing is left.
    assert [(properties.headers or {}).get("attempt") for _, properties in seen] == [None, 2, 3]
    assert {properties.message_id for _, properties in seen} == {"job-1"}
    names = [QUEUE, DLQ, *(f"{QUEUE}.retry.{delay_ms}" for delay_ms in DELAYS_MS)]
    assert {name: vhost.depth(name).messages for name in names} == dict.fromkeys(names, 0)


def test_an_error_that_can_never_be_cured_is_not_tried_again(vhost: VirtualHost, channel: BlockingChannel) -> None:
    publish(channel, QUEUE, b"job", JOB)
    seen = settle_all(channel, fail_with(ValueError("no number")), until=is_dead(vhost))
    [(_, letter, _)] = redrive(channel, QUEUE)
    assert len(seen) == letter.headers["attempt"] == 1


def test_headers_of_the_broker_do_not_travel_on(vhost: VirtualHost, channel: BlockingChannel) -> None:
    # A copied `x-death` made brokers before 4.0 drop the message as a cycle; CC would copy it elsewhere.
    properties = BasicProperties(message_id="job-1", headers={"x-death": [{"count": 1}], "CC": ["elsewhere"]})
    publish(channel, QUEUE, b"job", properties)
    [(_, delivered)] = settle_all(channel, fail_with(ValueError()), until=is_dead(vhost))
    assert not {"x-death", "CC"} & set(delivered.headers or {})


@pytest.mark.parametrize(("stop", "waiting"), [("before the publish", 0), ("after the confirm", 1)])
def test_a_worker_killed_during_the_retry_loses_nothing(
    stop: str, waiting: int, vhost: VirtualHost, channel: BlockingChannel
) -> None:
    # Given a worker that is killed while it arranges the retry
    declare(channel, QUEUE, delays_ms=[60_000])
    publish(channel, QUEUE, b"job", JOB)
    with Program(failing_worker, url=vhost.amqp_url, queue=QUEUE, stop=stop) as victim:
        victim.wait_for("stopped")
        victim.kill()
    # Then the message is back, and perhaps waits a second time: a duplicate, never a loss.
    assert ready(vhost, QUEUE, 1)
    assert ready(vhost, f"{QUEUE}.retry.60000", waiting)


def test_a_message_that_kills_its_workers_ends_in_the_dead_letter_queue(vhost: VirtualHost) -> None:
    # Given the work queue of the pattern, but with a limit that a test can wait for
    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare(DLQ, durable=True)
        dies = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DLQ}
        channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 1, **dies})
        publish(channel, QUEUE, b"poison", JOB)
        # When two workers are killed by it
        for _ in range(2):
            assert ready(vhost, QUEUE, 1)
            with Program(take_and_die, url=vhost.amqp_url, queue=QUEUE) as victim:
                victim.wait()
        # Then the broker has counted, and says why.
        assert ready(vhost, DLQ, 1)
        _, letter, _ = channel.basic_get(DLQ, auto_ack=True)
        assert letter is not None
        assert (letter.headers or {})["x-death"][0]["reason"] == "delivery_limit"


def bury(channel: BlockingChannel, *names: str) -> None:
    for name in names:
        publish(channel, DLQ, name.encode(), BasicProperties(message_id=name), attempt=4, reason="down")


def test_a_dry_run_moves_nothing(vhost: VirtualHost, channel: BlockingChannel) -> None:
    bury(channel, "a", "b")
    with channel.connection.channel() as looking:
        assert [letter.message_id for _, letter, _ in redrive(looking, QUEUE)] == ["a", "b"]
    assert ready(vhost, DLQ, 2)
    assert vhost.depth(QUEUE).messages == 0


def test_a_redrive_sends_all_back_under_their_ids_with_fresh_attempts(
    vhost: VirtualHost, channel: BlockingChannel
) -> None:
    bury(channel, "a", "b")
    assert len(redrive(channel, QUEUE, dry_run=False)) == 2
    back: list[Any] = [channel.basic_get(QUEUE, auto_ack=True) for _ in range(2)]
    assert [(properties.message_id, properties.headers["attempt"]) for _, properties, _ in back] == [("a", 1), ("b", 1)]
    assert ready(vhost, DLQ, 0)


def test_an_interrupted_redrive_repeated_makes_a_duplicate_and_no_loss(
    vhost: VirtualHost, channel: BlockingChannel
) -> None:
    bury(channel, "a", "b")
    with Program(interrupted_redrive, url=vhost.amqp_url, queue=QUEUE) as victim:
        victim.wait_for("stopped")
        victim.kill()
    assert ready(vhost, DLQ, 2)
    redrive(channel, QUEUE, dry_run=False)
    back: list[Any] = [channel.basic_get(QUEUE, auto_ack=True) for _ in range(3)]
    assert [body for _, _, body in back] == [b"a", b"a", b"b"]


def test_a_letter_whose_work_queue_is_gone_stays_where_it_is(vhost: VirtualHost, channel: BlockingChannel) -> None:
    bury(channel, "a")
    channel.queue_delete(QUEUE)
    with channel.connection.channel() as redriving:
        redriving.confirm_delivery()
        with pytest.raises(UnroutableError):
            redrive(redriving, QUEUE, dry_run=False)
    assert ready(vhost, DLQ, 1)


def test_it_runs_alone_and_leaves_nothing_behind(vhost: VirtualHost) -> None:
    environment = {
        **os.environ,
        "LAB_AMQP_URL": vhost.amqp_url,
        "LAB_MANAGEMENT_URL": vhost.broker.management_url,
    }
    command = [sys.executable, "-m", "labs.patterns.retry_dlq"]
    told = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert told.count("trying order-1") == 4
    assert "'attempt': 4" in told
    assert vhost.queues() == []
