"""One payment, whoever is killed, however often the message comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, cast

import pika
import psycopg
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import VirtualHost
from labs.patterns.idempotent import QUEUE, SCHEMA, Db, consume, handle_once, open_channel, pay, publish
from labs.processes import wait_until
from labs.programs import Program, hang
from tests.patterns.demo import output_of

BODY = b"10 ada"
DELIVERED_ONCE_MORE = {"before the commit": [True], "before the ack": [False]}


@pytest.fixture
def channel(vhost: VirtualHost) -> Iterator[BlockingChannel]:
    opened = open_channel(vhost.amqp_url)
    yield opened
    if opened.connection.is_open:
        opened.connection.close()


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    with psycopg.connect(database_url, autocommit=True) as connected:
        connected.execute(SCHEMA)
        yield connected


def payments(db: Db) -> int:
    return int(db.execute("SELECT count(*) FROM ledger").fetchall()[0][0])


def keys(db: Db) -> int:
    return int(db.execute("SELECT count(*) FROM handled").fetchall()[0][0])


def pay_until(url: str, database_url: str, point: str) -> None:
    """A worker that stands still at one point."""

    def effect(db: Db, body: bytes) -> None:
        pay(db, body)
        if point == "before the commit":
            hang("there")

    _, properties, body = cast("Any", open_channel(url).basic_get(QUEUE))
    handle_once(psycopg.connect(database_url, autocommit=True), QUEUE, properties.message_id, effect, body)
    hang("there")


@pytest.mark.parametrize("point", DELIVERED_ONCE_MORE)
def test_a_worker_killed_at_any_point_leaves_one_payment(
    point: str, vhost: VirtualHost, database_url: str, channel: BlockingChannel, db: Db
) -> None:
    # Given a worker that is killed with a message in its hands
    publish(channel, message_id="m", body=BODY)
    with Program(pay_until, url=vhost.amqp_url, database_url=database_url, point=point) as victim:
        victim.wait_for("there")
        victim.kill()
    # When another one gets the message
    told = list(islice(consume(channel, db), 1))
    # Then it pays only if the dead one had not committed.
    assert told == DELIVERED_ONCE_MORE[point]
    assert payments(db) == keys(db) == 1
    assert vhost.depth(QUEUE).messages == 0


def test_copies_of_a_message_pay_once_and_are_all_acknowledged(
    vhost: VirtualHost, channel: BlockingChannel, db: Db
) -> None:
    for _ in range(50):
        publish(channel, message_id="m", body=BODY)
    assert sorted(islice(consume(channel, db), 50)) == [False] * 49 + [True]
    assert payments(db) == 1
    assert wait_until(lambda: vhost.depth(QUEUE).messages == 0, timeout_s=60)


def test_different_messages_are_paid_each(channel: BlockingChannel, db: Db) -> None:
    for number in range(3):
        publish(channel, message_id=f"m-{number}", body=BODY)
    assert list(islice(consume(channel, db), 3)) == [True] * 3
    assert payments(db) == 3


def test_an_effect_that_fails_leaves_no_key(db: Db) -> None:
    def fails(db: Db, body: bytes) -> None:
        pay(db, body)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        handle_once(db, QUEUE, "m", fails, BODY)
    assert payments(db) == keys(db) == 0
    assert handle_once(db, QUEUE, "m", pay, BODY)
    assert payments(db) == 1


def test_each_consumer_has_keys_of_its_own(db: Db) -> None:
    assert handle_once(db, "billing", "m", pay, BODY)
    assert handle_once(db, "shipping", "m", pay, BODY)
    assert not handle_once(db, "billing", "m", pay, BODY)


@pytest.mark.parametrize("first_commits", [True, False], ids=["the first commits", "the first fails"])
def test_the_second_of_two_at_once_waits_for_the_first(first_commits: bool, db: Db, database_url: str) -> None:
    # Given a second worker that begins while the first is in its transaction
    with psycopg.connect(database_url, autocommit=True) as other, ThreadPoolExecutor() as pool:
        second: list[Any] = []

        def effect(db: Db, body: bytes) -> None:
            pay(db, body)
            second.append(pool.submit(handle_once, other, QUEUE, "m", pay, BODY))
            assert wait_until(is_waiting(other, database_url), timeout_s=60)
            if not first_commits:
                raise ZeroDivisionError

        # When the first commits, or fails
        outcome = attempt(lambda: handle_once(db, QUEUE, "m", effect, BODY))
        # Then exactly one of them has paid.
        assert outcome is first_commits
        assert second[0].result(timeout=60) is not first_commits
    assert payments(db) == 1


def is_waiting(other: Db, database_url: str) -> Callable[[], bool]:
    def look() -> bool:
        with psycopg.connect(database_url) as db:
            found = db.execute("SELECT cardinality(pg_blocking_pids(%s))", [other.info.backend_pid]).fetchall()
        return bool(found[0][0])

    return look


def attempt(act: Callable[[], bool]) -> bool:
    try:
        return act()
    except ZeroDivisionError:
        return False


def test_a_message_without_an_id_is_rejected_and_stops_nobody(
    vhost: VirtualHost, channel: BlockingChannel, db: Db
) -> None:
    channel.basic_publish("", QUEUE, BODY, pika.BasicProperties(delivery_mode=2))
    publish(channel, message_id="m", body=BODY)
    assert list(islice(consume(channel, db), 1)) == [True]
    assert payments(db) == 1
    channel.connection.close()
    assert wait_until(lambda: vhost.depth(QUEUE).consumers == 0, timeout_s=60)  # what it held would be back by now
    assert vhost.depth(QUEUE).messages == 0


def test_the_demo_pays_once_ends_and_leaves_nothing_behind(vhost: VirtualHost, database_url: str) -> None:
    printed = output_of("idempotent", vhost, database_url=database_url)
    assert "recognised: 5, paid: (10, 'ada')\n" in printed
