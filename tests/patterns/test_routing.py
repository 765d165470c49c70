"""Routing: a message is in every queue that wants it, once; and what nobody wants is kept or comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import UnroutableError

from labs.broker import VirtualHost
from labs.patterns.routing import bind, declare_exchange, open_channel, publish
from labs.programs import Program, hang, report
from labs.settings import ROOT

EU = {"x-match": "all", "region": "eu", "vip": "yes"}


def taken(channel: BlockingChannel, queue: str) -> list[bytes]:
    """All that is in a queue, taken out."""
    found = []
    while (body := channel.basic_get(queue, auto_ack=True)[2]) is not None:
        found.append(body)
    return found


@pytest.fixture
def channel(vhost: VirtualHost) -> Iterator[BlockingChannel]:
    channel = open_channel(vhost.amqp_url)
    yield channel
    channel.connection.close()


@pytest.mark.parametrize(
    ("kind", "binding", "key", "arrives"),
    [
        ("direct", "order.paid", "order.paid", True),
        ("direct", "order.*", "order.paid", False),
        ("direct", "order.paid", "Order.paid", False),
        ("topic", "order.*", "order.paid", True),
        ("topic", "order.*", "order", False),
        ("topic", "order.#", "order", True),
        ("topic", "#.paid", "paid", True),
        ("topic", "order.#.paid", "order.paid", True),
        ("topic", "order.*.paid", "order.eu.it.paid", False),
        ("topic", "*", "", False),
        ("topic", "#", "", True),
        ("topic", "order.*", "order.", True),
        ("topic", "ord*", "order", False),
        ("fanout", "order.paid", "anything", True),
    ],
)
def test_the_type_of_the_exchange_decides_how_keys_are_compared(
    channel: BlockingChannel, kind: str, binding: str, key: str, *, arrives: bool
) -> None:
    declare_exchange(channel, "shop", kind)
    bind(channel, "queue", "shop", binding)
    if arrives:
        publish(channel, "shop", key, b"it")
    else:
        with pytest.raises(UnroutableError):
            publish(channel, "shop", key, b"it")
    assert taken(channel, "queue") == ([b"it"] if arrives else [])


@pytest.mark.parametrize(
    ("headers", "all_match", "any_match"),
    [
        ({"region": "eu", "vip": "yes", "more": "yes"}, True, True),
        ({"region": "eu"}, False, True),
        ({"region": "us", "vip": "no"}, False, False),
        ({}, False, False),
    ],
)
def test_a_headers_exchange_wants_all_or_any(
    channel: BlockingChannel, headers: Mapping[str, str], *, all_match: bool, any_match: bool
) -> None:
    declare_exchange(channel, "shop", "headers")
    bind(channel, "all", "shop", headers=EU)
    bind(channel, "any", "shop", headers={**EU, "x-match": "any"})
    try:
        publish(channel, "shop", "key", b"it", headers=headers)
    except UnroutableError:
        assert not any_match
    assert (bool(taken(channel, "all")), bool(taken(channel, "any"))) == (all_match, any_match)


def test_a_queue_gets_one_copy_however_many_of_its_bindings_match(channel: BlockingChannel) -> None:
    declare_exchange(channel, "shop", "topic")
    for pattern in ("order.#", "#.paid", "#"):
        bind(channel, "queue", "shop", pattern)
    publish(channel, "shop", "order.paid", b"it")
    assert taken(channel, "queue") == [b"it"]


def test_an_alternate_exchange_keeps_what_nobody_wants_and_only_that(channel: BlockingChannel) -> None:
    declare_exchange(channel, "unwanted", "fanout")
    declare_exchange(channel, "shop", "topic", alternate="unwanted")
    bind(channel, "orders", "shop", "order.#")
    # Without a queue behind the alternate exchange a message comes back,
    with pytest.raises(UnroutableError):
        publish(channel, "shop", "parcel.new", b"too early")
    bind(channel, "unwanted", "unwanted")
    # with one it is kept,
    publish(channel, "shop", "parcel.new", b"nobody's")
    # and what somebody wants is no business of the alternate.
    publish(channel, "shop", "order.paid", b"somebody's")
    assert taken(channel, "unwanted") == [b"nobody's"]
    assert taken(channel, "orders") == [b"somebody's"]


def publisher(url: str) -> None:
    channel = open_channel(url)
    for number in range(50):
        publish(channel, "shop", "order.paid", f"{number}".encode())
        report("confirmed", number=number)
    hang("has confirmed all")


def test_what_was_confirmed_to_a_killed_publisher_is_in_every_queue(
    vhost: VirtualHost, channel: BlockingChannel
) -> None:
    declare_exchange(channel, "shop", "topic")
    queues = {"archive": "#", "tax": "order.paid"}
    for queue, pattern in queues.items():
        bind(channel, queue, "shop", pattern)
    # When a publisher is killed
    with Program(publisher, url=vhost.amqp_url) as program:
        program.wait_for("confirmed", count=10)
        assert program.kill() == -signal.SIGKILL
        confirmed = [f"{told['number']}".encode() for told in program.of("confirmed")]
    # Then each queue has all that was confirmed, and at most the one message more that was under way.
    for queue in queues:
        got = taken(channel, queue)
        assert got[: len(confirmed)] == confirmed
        assert len(got) <= len(confirmed) + 1


def test_it_runs_alone_and_leaves_nothing_behind(vhost: VirtualHost) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "labs.patterns.routing"],
        env={**os.environ, "LAB_AMQP_URL": vhost.amqp_url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    told = [line.split(",")[0] for line in ended.stdout.splitlines()]
    assert told == [
        "direct: order.eu.paid arrived",
        "topic: order.eu.paid arrived",
        "fanout: order.eu.paid arrived",
        "headers: order.eu.paid came back",
    ]
    assert vhost.exchanges() == []
    assert vhost.queues() == []
