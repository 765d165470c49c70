"""Every message gets the broker's own answer, and what was confirmed outlives the broker's sudden death."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pika
import pytest
import pytest_asyncio
from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import VirtualHost
from labs.broker.node import Node
from labs.notebook.experiments.confirms_and_returns import close, publish_confirmed, take_all
from labs.patterns import confirms, confirms_async
from labs.patterns.confirms import CONFIRMED, NACKED, RETURNED
from labs.patterns.confirms_async import UNKNOWN, ConfirmedPublisher
from labs.patterns.confirms_pipelined import publish_in_a_window, publish_in_batches
from labs.processes import wait_until
from labs.programs import Program
from labs.settings import ROOT

FULL_AT_2 = {"x-max-length": 2, "x-overflow": "reject-publish"}
#: The answer to each of four messages, by key: the queue has room for two.
KEYS = ("full", "nowhere", "full", "full")
ANSWERS = [CONFIRMED, RETURNED, CONFIRMED, NACKED]
WINDOW = 20


class Watched(ConfirmedPublisher):
    """Knows how many of its messages were without an answer at once, at most."""

    unanswered = most = 0

    def publish(self, exchange: str, routing_key: str, body: bytes, *, message_id: str) -> asyncio.Future[str]:
        answer = super().publish(exchange, routing_key, body, message_id=message_id)
        self.unanswered += 1
        self.most = max(self.most, self.unanswered)
        answer.add_done_callback(self._count_answer)
        return answer

    def _count_answer(self, _: asyncio.Future[str]) -> None:
        self.unanswered -= 1


@pytest.fixture
def channel(vhost: VirtualHost) -> Iterator[BlockingChannel]:
    opened = confirms.connect(vhost.amqp_url)
    opened.queue_declare("work", durable=True)
    opened.queue_declare("full", durable=True, arguments=FULL_AT_2)
    yield opened
    opened.connection.close()


@pytest_asyncio.fixture
async def publisher(vhost: VirtualHost, channel: BlockingChannel) -> AsyncIterator[Watched]:
    opened = Watched(await confirms_async.connect(vhost.amqp_url))
    yield opened
    await close(opened)


def messages(count: int) -> dict[str, bytes]:
    return {str(number): str(number).encode() for number in range(count)}


def test_one_by_one_every_message_gets_its_own_answer(vhost: VirtualHost, channel: BlockingChannel) -> None:
    said = [confirms.publish(channel, "", key, key.encode(), message_id=str(n)) for n, key in enumerate(KEYS)]
    assert said == ANSWERS
    assert [taken.message_id for taken in take_all(vhost.amqp_url, "full")] == ["0", "2"]


def test_messages_are_persistent(channel: BlockingChannel) -> None:
    confirms.publish(channel, "", "work", b"", message_id="m")
    _, properties, _ = channel.basic_get("work", auto_ack=True)
    assert properties is not None
    assert properties.delivery_mode == pika.DeliveryMode.Persistent.value


async def test_later_answers_find_their_own_message(vhost: VirtualHost, publisher: Watched) -> None:
    # Given messages that are all under way before the first answer is read
    answers = [publisher.publish("", key, b"", message_id=str(n)) for n, key in enumerate(KEYS)]
    assert not any(answer.done() for answer in answers)
    # Then each gets its own answer, whatever the order in which they come.
    assert [await answer for answer in answers] == ANSWERS
    assert [taken.message_id for taken in take_all(vhost.amqp_url, "full")] == ["0", "2"]


async def test_a_closed_channel_leaves_what_is_under_way_unknown(publisher: Watched) -> None:
    confirmed = await publisher.publish("", "work", b"", message_id="before")
    answer = publisher.publish("no such exchange", "work", b"", message_id="at the end")
    assert (confirmed, await answer) == (CONFIRMED, UNKNOWN)


async def test_batches_and_windows_confirm_every_message_once_and_in_order(
    vhost: VirtualHost, publisher: Watched
) -> None:
    answers = await publish_in_batches(publisher, "work", messages(95), size=WINDOW)
    answers += await publish_in_a_window(publisher, "work", messages(95), window=WINDOW)
    assert answers == [CONFIRMED] * 190
    assert [taken.body for taken in take_all(vhost.amqp_url, "work")] == [*messages(95), *messages(95)]


@pytest.mark.parametrize("way", ["batches", "window"])
async def test_no_more_are_ever_unanswered_than_was_asked_for(way: str, publisher: Watched) -> None:
    if way == "batches":
        await publish_in_batches(publisher, "work", messages(200), size=WINDOW)
    else:
        await publish_in_a_window(publisher, "work", messages(200), window=WINDOW)
    assert publisher.most == WINDOW


@pytest.fixture(scope="module")
def node(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(tmp_path_factory.mktemp("confirms") / "broker")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.xdist_group("node of confirms")
def test_every_confirmed_message_outlives_a_killed_broker(node: Node) -> None:
    # Given a publisher in full flight
    channel = confirms.connect(node.amqp_url)
    channel.queue_declare("work", durable=True)
    channel.connection.close()
    node.settle()
    with Program(publish_confirmed, url=node.amqp_url, queue="work", window=WINDOW) as program:
        program.wait_for("progress", count=10, timeout_s=120)
        # When the broker is killed
        node.kill()
        [broken] = program.wait_for("broken", timeout_s=120)
    node.start()
    # Then nothing confirmed is missing, and no more is unknown than was under way.
    there = {taken.body for taken in take_all(node.amqp_url, "work")}
    assert len(broken["confirmed"]) > 500
    assert set(broken["confirmed"]) <= there
    assert 0 < len(broken["unknown"]) <= WINDOW
    assert there <= {*broken["confirmed"], *broken["unknown"]}


@pytest.mark.parametrize("pattern", ["confirms", "confirms_async", "confirms_pipelined"])
def test_the_pattern_runs_alone_and_leaves_nothing_behind(pattern: str, vhost: VirtualHost) -> None:
    told = subprocess.run(
        [sys.executable, "-m", f"labs.patterns.{pattern}"],
        env={**os.environ, "LAB_AMQP_URL": vhost.amqp_url, "LAB_MANAGEMENT_URL": vhost.broker.management_url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert CONFIRMED in told.stdout
    assert told.stderr == ""
    assert wait_until(lambda: vhost.queues() == [], timeout_s=60)
