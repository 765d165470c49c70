"""A message for every committed order and for no other, whatever is killed."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

import psycopg
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from labs.broker import VirtualHost
from labs.patterns.outbox import CLAIM, QUEUE, SCHEMA, open_channel, place_order, relay, relay_batch
from labs.processes import wait_until
from labs.programs import Program, hang
from tests.patterns.demo import output_of

Db = psycopg.Connection[Any]
Kill = Callable[[Callable[..., None], str], None]
BODY = "10 ada"


@pytest.fixture
def channel(vhost: VirtualHost) -> Iterator[BlockingChannel]:
    opened = open_channel(vhost.amqp_url)
    yield opened
    with contextlib.suppress(AMQPError):  # a test may have had it closed
        opened.connection.close()


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    with psycopg.connect(database_url, autocommit=True) as connected:
        connected.execute(SCHEMA)
        yield connected


@pytest.fixture
def kill_at(vhost: VirtualHost, database_url: str) -> Kill:
    """Runs a function in a process that is killed where it stands still."""

    def kill(function: Callable[..., None], point: str) -> None:
        with Program(function, url=vhost.amqp_url, database_url=database_url, point=point) as victim:
            victim.wait_for("there")
            victim.kill()

    return kill


def orders(db: Db) -> set[str]:
    return {order_id for (order_id,) in db.execute("SELECT id FROM orders").fetchall()}


def waiting(db: Db) -> int:
    return db.execute("SELECT FROM outbox WHERE published_at IS NULL").rowcount


def messages(channel: BlockingChannel) -> Counter[str]:
    """Ids of all messages in the queue, taken away."""
    found: Counter[str] = Counter()
    while (got := cast("Any", channel.basic_get(QUEUE, auto_ack=True)))[0] is not None:
        found[got[1].message_id] += 1
    return found


def relay_all(channel: BlockingChannel, db: Db) -> None:
    """The database may need a moment to take back what a killed relay held."""
    assert wait_until(lambda: relay_batch(channel, db) == 0 and waiting(db) == 0, timeout_s=60)


class Stopping:
    """A channel that stands still before or after a publish."""

    def __init__(self, channel: BlockingChannel, point: str) -> None:
        self._channel, self._point = channel, point

    def basic_publish(self, *arguments: Any, **options: Any) -> None:
        self.reach("claimed")
        self._channel.basic_publish(*arguments, **options)
        self.reach("confirmed")

    def reach(self, point: str) -> None:
        if point == self._point:
            hang("there")


def shop(url: str, database_url: str, point: str) -> None:
    """Place an order; stand still before or after its commit."""
    with psycopg.connect(database_url, autocommit=True) as db:
        with db.transaction():
            place_order(db, BODY)
            if point == "not committed":
                hang("there")
        hang("there")


def relay_once(url: str, database_url: str, point: str) -> None:
    """Relay one batch; stand still at one point."""
    channel = Stopping(open_channel(url), point)
    with psycopg.connect(database_url, autocommit=True) as db:
        with db.transaction():
            relay_batch(cast("Any", channel), db)
            channel.reach("marked")
        channel.reach("committed")


def relay_for_ever(url: str, database_url: str, poll_s: float) -> None:
    relay(url, database_url, poll_s)


@pytest.mark.parametrize(("point", "wanted"), [("not committed", 0), ("committed", 1)])
def test_a_killed_shop_leaves_both_or_none(
    point: str, wanted: int, kill_at: Kill, channel: BlockingChannel, db: Db
) -> None:
    kill_at(shop, point)
    relay_all(channel, db)
    assert set(messages(channel)) == orders(db)
    assert len(orders(db)) == wanted


@pytest.mark.parametrize(("point", "copies"), [("claimed", 1), ("confirmed", 2), ("marked", 2), ("committed", 1)])
def test_a_killed_relay_loses_nothing_and_repeats_with_the_same_id(
    point: str, copies: int, kill_at: Kill, channel: BlockingChannel, db: Db
) -> None:
    # Given an order, and a relay that is killed while it publishes it
    order_id = place_order(db, BODY)
    kill_at(relay_once, point)
    # When another relay works on
    relay_all(channel, db)
    # Then the message is there, and a copy of it where the mark was lost.
    assert messages(channel) == {order_id: copies}


def test_a_message_without_a_queue_waits_and_holds_up_nobody(
    vhost: VirtualHost, channel: BlockingChannel, db: Db
) -> None:
    place_order(db, BODY, queue="later")
    other = place_order(db, BODY)
    assert relay_batch(channel, db) == 1
    assert messages(channel) == {other: 1}
    assert waiting(db) == 1
    channel.queue_declare("later", durable=True)
    assert relay_batch(channel, db) == 1
    assert vhost.depth("later").messages == 1
    assert waiting(db) == 0


def test_a_message_that_the_broker_refuses_waits(channel: BlockingChannel, db: Db) -> None:
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare("full", durable=True, arguments=full)
    for _ in range(3):
        place_order(db, BODY, queue="full")
    assert relay_batch(channel, db) == 1
    assert waiting(db) == 2


def test_an_order_that_is_rolled_back_has_no_message(channel: BlockingChannel, db: Db) -> None:
    with db.transaction():
        place_order(db, BODY)
        raise psycopg.Rollback
    assert relay_batch(channel, db) == 0
    assert orders(db) == set()
    assert messages(channel) == {}


def test_two_relays_never_claim_the_same_row_and_neither_waits(database_url: str, db: Db) -> None:
    for _ in range(15):
        place_order(db, BODY)
    with psycopg.connect(database_url) as one, psycopg.connect(database_url) as other:
        other.execute("SET LOCAL lock_timeout = '1s'")
        first = {row[0] for row in one.execute(CLAIM).fetchall()}
        second = {row[0] for row in other.execute(CLAIM).fetchall()}
    assert (len(first), len(second)) == (10, 5)
    assert not first & second


def test_what_commits_late_is_published_too(channel: BlockingChannel, db: Db, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as slow:
        with slow.transaction():
            late = place_order(slow, BODY)
            early = place_order(db, BODY)
            assert relay_batch(channel, db) == 1
            assert messages(channel) == {early: 1}
        assert relay_batch(channel, db) == 1
        assert messages(channel) == {late: 1}


def test_a_hint_wakes_the_relay_long_before_it_would_look(
    vhost: VirtualHost, database_url: str, channel: BlockingChannel, db: Db
) -> None:
    with Program(relay_for_ever, url=vhost.amqp_url, database_url=database_url, poll_s=600):
        for _ in range(3):
            place_order(db, BODY)
            assert wait_until(lambda: waiting(db) == 0, timeout_s=60)
    assert set(messages(channel)) == orders(db)


def test_a_relay_finds_what_nobody_hinted_at_and_survives_a_lost_connection(
    vhost: VirtualHost, database_url: str, channel: BlockingChannel, db: Db
) -> None:
    insert = "INSERT INTO outbox (message_id, queue, body) VALUES (%s, %s, %s)"
    with Program(relay_for_ever, url=vhost.amqp_url, database_url=database_url, poll_s=0.05):
        db.execute(insert, ["one", QUEUE, BODY])
        assert wait_until(lambda: waiting(db) == 0, timeout_s=60)
        # When the broker closes every connection
        assert wait_until(lambda: len(vhost.management.connections(vhost.name)) == 2, timeout_s=60)
        for connection in vhost.management.connections(vhost.name):
            vhost.management.close_connection(connection.name)
        # Then the relay opens another one.
        db.execute(insert, ["two", QUEUE, BODY])
        assert wait_until(lambda: waiting(db) == 0, timeout_s=60)
    again = open_channel(vhost.amqp_url)
    assert set(messages(again)) == {"one", "two"}
    again.connection.close()


def test_the_demo_publishes_every_order_ends_and_leaves_nothing_behind(vhost: VirtualHost, database_url: str) -> None:
    printed = output_of("outbox", vhost, database_url=database_url)
    found = re.fullmatch(r"relay killed; orders and published: \((\d+), (\d+)\)\n", printed)
    assert found, printed
    assert found[1] == found[2]
