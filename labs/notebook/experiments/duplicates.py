"""Chapter 07: what `redelivered` knows, one message in many hands, two hands at once, and what a key costs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pika
import psycopg

from labs.display import Mark, Stretch
from labs.notebook.experiments.idempotent_consumers import paid
from labs.notebook.session import Notebook
from labs.patterns.idempotent import QUEUE, Db, consume, handle_once, open_channel, pay
from labs.processes import wait_until
from labs.programs import Program, Report, hang, report

#: A transaction is held this long after another one has begun to wait for it: so that it can be seen.
_HOLD_S = 0.3
_TIMEOUT_S = 20.0

_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
"""


def pay_one_of_many(url: str, database_url: str, count: int) -> None:
    """Take so many messages, pay the first, stand still before its ack."""
    channel, taken = open_channel(url), list[Any]()
    channel.basic_consume(QUEUE, lambda *delivery: taken.append(delivery))
    while len(taken) < count:
        channel.connection.process_data_events(time_limit=1)
    with psycopg.connect(database_url, autocommit=True) as db:
        pay(db, taken[0][3])
        hang("paid the first")


def work(url: str, database_url: str) -> None:
    """The pattern's consumer; tells of every message whether it was new."""
    channel, db = open_channel(url), psycopg.connect(database_url, autocommit=True)
    report("ready")
    for is_new in consume(channel, db):
        report("handled", is_new=is_new)


def work_slowly(url: str, database_url: str) -> None:
    """Handle one message after the other; its header says whether to hold the transaction, or to die in it."""
    db = psycopg.connect(database_url, autocommit=True)
    channel = open_channel(url)
    channel.basic_qos(prefetch_count=1)
    for method, properties, body in cast("Iterator[Any]", channel.consume(QUEUE)):
        then = (properties.headers or {}).get("then", "commit")
        report("begins", body=body.decode())
        is_new = handle_once(db, QUEUE, properties.message_id, _effect_that_then(then, database_url), body)
        report("ends", body=body.decode(), is_new=is_new)
        channel.basic_ack(method.delivery_tag)


def _effect_that_then(then: str, database_url: str) -> Callable[[Db, bytes], None]:
    def effect(db: Db, body: bytes) -> None:
        pay(db, body)
        report("not committed yet", body=body.decode())
        if then != "commit":
            wait_until(lambda: somebody_waits(database_url), timeout_s=_TIMEOUT_S)
            time.sleep(_HOLD_S)
        if then == "die":
            hang("about to commit", body=body.decode())

    return effect


def somebody_waits(database_url: str) -> bool:
    """Whether a transaction in this database waits for another one."""
    with psycopg.connect(database_url) as db:
        return bool(db.execute(_WAITING).fetchall()[0][0])


@dataclass(frozen=True)
class Race:
    """Two workers had copies of one message at once.

    Args:
        lanes: what each did, in seconds since the first one began, for `tracks`.
        second_pays: whether the second one found no key: then the first has left nothing.
        paid: how often.
    """

    lanes: dict[str, Sequence[Mark | Stretch]]
    second_pays: bool
    paid: int


def race(lab: Notebook, workers: Sequence[Program], account: str, *, then: str) -> Race:
    """Two copies of one message for two workers; the first holds its transaction until the other waits for it.

    Args:
        workers: two that run `work_slowly`.
        account: whom to pay.
        then: `hold`: the first one commits; `die`: it is killed before its commit.
    """
    channel, body = open_channel(lab.amqp_url), f"10 {account}"
    for headers in ({"then": then}, {}):
        properties = pika.BasicProperties(message_id=f"for {account}", headers=headers, delivery_mode=2)
        channel.basic_publish("", QUEUE, body.encode(), properties)
        wait_until(lambda: any(_told(worker, "not committed yet", body) for worker in workers), timeout_s=_TIMEOUT_S)
    channel.connection.close()
    first, second = sorted(workers, key=lambda worker: not _told(worker, "not committed yet", body))
    if then == "die":
        first.wait_for("about to commit")
        end_s, how = time.monotonic(), "killed"
        first.kill()
    wait_until(lambda: bool(_told(second, "ends", body)), timeout_s=_TIMEOUT_S)
    if then == "hold":
        end_s, how = _told(first, "ends", body)[0].at_s, "commits"
    start_s, second_s = _told(first, "begins", body)[0].at_s, _told(second, "begins", body)[0].at_s
    ended = _told(second, "ends", body)[0]
    does = "pays" if ended["is_new"] else "does nothing"
    lanes: dict[str, Sequence[Mark | Stretch]] = {
        f"first ({how})": [Stretch(0, end_s - start_s, "holds the key"), Mark(end_s - start_s, how)],
        f"second ({does})": [
            Stretch(second_s - start_s, end_s - start_s, "waits for the key"),
            Mark(ended.at_s - start_s, does),
        ],
    }
    return Race(lanes, ended["is_new"], paid(lab.database_url, account))


def _told(worker: Program, event: str, body: str) -> list[Report]:
    return [told for told in worker.of(event) if told["body"] == body]


def costs_ms(database_url: str, *, rounds: int) -> dict[str, list[float]]:
    """What a payment takes in the database with and without a key; the ways take turns, so that all meet the same."""
    body, seen_before = b"10 measured", "seen before"
    samples: dict[str, list[float]] = {}

    def timed(name: str, act: Callable[[], object]) -> None:
        started = time.perf_counter()
        act()
        samples.setdefault(name, []).append((time.perf_counter() - started) * 1000)

    with psycopg.connect(database_url, autocommit=True) as db:
        handle_once(db, QUEUE, seen_before, pay, body)
        for _ in range(rounds):
            one, other = str(uuid.uuid4()), str(uuid.uuid4())
            timed("payment without key", lambda: _pay_alone(db, body))
            timed("key in the same transaction", lambda key=one: handle_once(db, QUEUE, key, pay, body))  # type: ignore[misc]
            timed("key in a transaction of its own", lambda key=other: _pay_and_note(db, body, key))  # type: ignore[misc]
            timed("duplicate, recognised", lambda: handle_once(db, QUEUE, seen_before, pay, body))
    return samples


def _pay_alone(db: Db, body: bytes) -> None:
    with db.transaction():
        pay(db, body)


def _pay_and_note(db: Db, body: bytes, key: str) -> None:
    _pay_alone(db, body)
    handle_once(db, QUEUE, key, lambda *_: None, body)
