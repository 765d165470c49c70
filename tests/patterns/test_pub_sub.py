"""Publish/subscribe: a copy for everybody who has subscribed by then, kept for those who subscribed durably."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import VirtualHost
from labs.patterns.pub_sub import EXCHANGE, consume, durable_subscription, open_channel, publish, temporary_subscription
from labs.processes import wait_until
from labs.programs import Program, hang, report
from labs.settings import ROOT


def subscriber(url: str, *, name: str | None, dies_with: str | None = None) -> None:
    channel = open_channel(url)
    queue = durable_subscription(channel, name) if name else temporary_subscription(channel)

    def handle(event: bytes) -> None:
        if event.decode() == dies_with:
            hang("in hand")
        report("got", body=event.decode())

    report("subscribed", queue=queue)
    consume(channel, queue, handle)


def bodies(program: Program) -> list[str]:
    return [told["body"] for told in program.of("got")]


@pytest.fixture
def channel(vhost: VirtualHost) -> Iterator[BlockingChannel]:
    channel = open_channel(vhost.amqp_url)
    yield channel
    channel.connection.close()


def test_every_subscriber_gets_every_event_once(vhost: VirtualHost, channel: BlockingChannel) -> None:
    names = ("mailer", "stock", None)
    programs = [Program(subscriber, url=vhost.amqp_url, name=name) for name in names]
    for program in programs:
        program.wait_for("subscribed")
    for number in range(20):
        publish(channel, f"{number}".encode())
    for program in programs:
        program.wait_for("got", count=20)
        program.kill()
        assert bodies(program) == [f"{number}" for number in range(20)]


def test_a_killed_durable_subscriber_misses_nothing(vhost: VirtualHost, channel: BlockingChannel) -> None:
    # Given a subscriber that is killed with the second event in its hands
    with Program(subscriber, url=vhost.amqp_url, name="mailer", dies_with="2") as program:
        program.wait_for("subscribed")
        publish(channel, b"1")
        program.wait_for("got")
        publish(channel, b"2")
        program.wait_for("in hand")
        assert program.kill() == -signal.SIGKILL
    # When more is published while it is away
    publish(channel, b"3")
    # Then it finds all of that when it comes back: the one that it held, too.
    with Program(subscriber, url=vhost.amqp_url, name="mailer") as program:
        program.wait_for("got", count=2)
        assert bodies(program)[-2:] == ["2", "3"]


def test_a_temporary_subscription_goes_with_its_process(vhost: VirtualHost, channel: BlockingChannel) -> None:
    with Program(subscriber, url=vhost.amqp_url, name=None) as program:
        [told] = program.wait_for("subscribed")
        publish(channel, b"while it is there")
        program.wait_for("got")
        assert told["queue"] in {queue.name for queue in vhost.queues()}
    assert wait_until(lambda: not vhost.queues(), timeout_s=60)
    publish(channel, b"while it is away")
    with Program(subscriber, url=vhost.amqp_url, name=None) as program:
        program.wait_for("subscribed")
        publish(channel, b"after it came back")
        program.wait_for("got")
        assert bodies(program) == ["after it came back"]


def test_what_came_before_the_binding_is_gone(vhost: VirtualHost, channel: BlockingChannel) -> None:
    publish(channel, b"too early")
    queue = durable_subscription(channel, "late")
    publish(channel, b"in time")
    _, _, first = channel.basic_get(queue)
    assert first == b"in time"
    assert channel.basic_get(queue) == (None, None, None)


def test_subscribing_again_changes_nothing(vhost: VirtualHost, channel: BlockingChannel) -> None:
    queue = durable_subscription(channel, "mailer")
    publish(channel, b"kept")
    assert durable_subscription(channel, "mailer") == queue == f"{EXCHANGE}.mailer"
    _, properties, body = channel.basic_get(queue)
    assert body == b"kept"
    assert properties is not None
    assert properties.delivery_mode == 2, "it is on disk"
    assert channel.basic_get(queue) == (None, None, None), "bound twice is bound once"


def test_a_durable_subscription_is_of_a_kind_that_survives_the_broker(
    vhost: VirtualHost, channel: BlockingChannel
) -> None:
    durable_subscription(channel, "mailer")
    [queue] = vhost.queues()
    assert (queue.type, queue.durable, queue.exclusive, queue.auto_delete) == ("quorum", True, False, False)
    [exchange] = vhost.exchanges()
    assert exchange.durable


def test_it_runs_alone_and_leaves_nothing_behind(vhost: VirtualHost) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "labs.patterns.pub_sub"],
        env={**os.environ, "LAB_AMQP_URL": vhost.amqp_url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    # The mailer finds what came while it was away, the dashboard does not.
    mailer, dashboard = ended.stdout.splitlines()[-2:]
    assert mailer.endswith("order 2 while nobody was there, order 3")
    assert dashboard == "dashboard got order 3"
    assert vhost.exchanges() == []
    assert wait_until(lambda: vhost.queues() == [], timeout_s=60), "the broker deletes temporary queues by itself"
