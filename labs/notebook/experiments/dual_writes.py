"""Chapter 08: a database and a broker written one after the other, by processes that are killed in between."""

from __future__ import annotations

import os
import random
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pika
import psycopg
from pika.adapters.blocking_connection import BlockingChannel

from labs.notebook.session import Notebook
from labs.patterns.idempotent import Db
from labs.patterns.outbox import QUEUE, open_channel, relay_batch
from labs.processes import wait_until
from labs.programs import report

BODY = "10 ada"
#: Where an order's process is killed, if it is.
POINTS = ("before both", "between the two", "after both")
_SEED = 8
_TIMEOUT_S = 20.0
_INSERT = "INSERT INTO orders (id, body) VALUES (%s, %s)"


@dataclass(frozen=True)
class Shop:
    """What one order is written with; `reach` kills the process if this is the point."""

    db: Db
    channel: BlockingChannel
    reach: Callable[[str], None]

    def store(self, order_id: str) -> None:
        """Write the row."""
        self.db.execute(_INSERT, [order_id, BODY])

    def send(self, order_id: str) -> None:
        """Publish the message, confirmed."""
        properties = pika.BasicProperties(message_id=order_id, delivery_mode=2)
        self.channel.basic_publish("", QUEUE, BODY.encode(), properties, mandatory=True)

    def store_message(self, order_id: str) -> None:
        """Write the message into the outbox."""
        insert = "INSERT INTO outbox (message_id, queue, body) VALUES (%s, %s, %s)"
        self.db.execute(insert, [order_id, QUEUE, BODY])


def row_then_message(shop: Shop, order_id: str) -> None:
    shop.store(order_id)
    shop.reach("between the two")
    shop.send(order_id)


def message_then_row(shop: Shop, order_id: str) -> None:
    shop.send(order_id)
    shop.reach("between the two")
    shop.store(order_id)


def message_inside_transaction(shop: Shop, order_id: str) -> None:
    with shop.db.transaction():
        shop.store(order_id)
        shop.send(order_id)
        shop.reach("between the two")  # the commit is the second write


def row_and_outbox(shop: Shop, order_id: str) -> None:
    with shop.db.transaction():
        shop.store(order_id)
        shop.reach("between the two")
        shop.store_message(order_id)


DESIGNS: Mapping[str, Callable[[Shop, str], None]] = {
    "row, then message": row_then_message,
    "message, then row": message_then_row,
    "message inside the transaction": message_inside_transaction,
    "row and outbox in one transaction": row_and_outbox,
}


@dataclass(frozen=True)
class Audit:
    """What is left, compared from outside."""

    rows: frozenset[str]
    messages: Counter[str]

    @property
    def rows_without_message(self) -> int:
        return len(self.rows - set(self.messages))

    @property
    def messages_without_row(self) -> int:
        return len(set(self.messages) - self.rows)

    @property
    def copies(self) -> int:
        """Messages that came once more than needed."""
        return self.messages.total() - len(self.messages)


def place_and_die(url: str, database_url: str, design: str, count: int) -> None:
    """So many orders, each by a process of its own, which is killed at one of the points, drawn from a fixed seed."""
    draw = random.Random(_SEED)  # noqa: S311 (no secret)
    for _ in range(count):
        point = draw.choice(POINTS)
        killed_by = in_child(lambda reach: _place_one(url, database_url, DESIGNS[design], reach), point)
        report("ended", point=point, signal=killed_by)


def in_child(act: Callable[[Callable[[str], None]], None], point: str) -> int:
    """Do something in a child process that is killed when it reaches a point; returns the signal that ended it.

    Args:
        act: called with a function to be called at each point.
        point: where SIGKILL strikes. A child that never comes there ends by itself: 0.
    """

    def reach(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            act(reach)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status)


def _place_one(url: str, database_url: str, place: Callable[[Shop, str], None], reach: Callable[[str], None]) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        shop = Shop(db, open_channel(url), reach)
        shop.reach("before both")
        place(shop, str(uuid.uuid4()))
        shop.reach("after both")


def killed_shops(lab: Notebook, design: str, *, count: int) -> tuple[Audit, Counter[str]]:
    """Place orders with processes that are killed, relay what is in the outbox, and compare; tells the points too."""
    program = lab.program(place_and_die, database_url=lab.database_url, design=design, count=count)
    ends = program.wait_for("ended", count=count)
    program.wait()
    assert all(end["signal"] == signal.SIGKILL for end in ends)
    return audit(lab), Counter(end["point"] for end in ends)


def audit(lab: Notebook) -> Audit:
    """Relay what waits, then take all orders and all messages away and compare them."""
    channel = open_channel(lab.amqp_url)
    with psycopg.connect(lab.database_url, autocommit=True) as db:
        relay_all(channel, db)
        rows = frozenset(order_id for (order_id,) in db.execute("DELETE FROM orders RETURNING id").fetchall())
    messages: Counter[str] = Counter()
    while (got := channel.basic_get(QUEUE, auto_ack=True))[0] is not None:
        assert got[1] is not None
        messages[str(got[1].message_id)] += 1
    channel.connection.close()
    return Audit(rows, messages)


def relay_all(channel: BlockingChannel, db: Db) -> None:
    """Relay until nothing waits; the database may need a moment to take back the rows of a relay that was killed."""
    waiting = "SELECT FROM outbox WHERE published_at IS NULL LIMIT 1"
    wait_until(lambda: relay_batch(channel, db) == 0 and db.execute(waiting).rowcount == 0, timeout_s=_TIMEOUT_S)
