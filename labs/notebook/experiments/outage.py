"""Chapter 08: the broker is killed and comes back, while a shop goes on taking orders."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from pika.exceptions import AMQPError

from labs.notebook.experiments.dual_writes import BODY
from labs.notebook.experiments.outbox import hinted_relay
from labs.notebook.session import Notebook
from labs.patterns import idempotent
from labs.patterns.outbox import place_order
from labs.processes import wait_until
from labs.programs import report

_TIMEOUT_S = 60.0
_EVERY_S = 0.05


def shop(url: str, database_url: str) -> None:  # noqa: ARG001 (every program gets the URL)
    """Take an order now and then: it needs the database, and no broker."""
    with psycopg.connect(database_url, autocommit=True) as db:
        while True:
            place_order(db, BODY)
            report("order")
            time.sleep(_EVERY_S)


def charge(url: str, database_url: str) -> None:
    """The consumer of chapter 07, which connects again when the broker is back."""
    with psycopg.connect(database_url, autocommit=True) as db:
        while True:
            try:
                for is_new in idempotent.consume(idempotent.open_channel(url), db):
                    report("handled", is_new=is_new)
            except AMQPError:
                time.sleep(0.2)


@dataclass(frozen=True)
class Outage:
    """What happened, in seconds since the first order.

    Args:
        dead: from the kill until the broker answered again.
        placed, waiting: orders placed so far, and messages in the outbox that were not published: (second, number).
        orders, charges: at the end.
        taken_meanwhile: orders placed while the broker was dead.
        copies: messages that the consumer recognised.
    """

    dead: tuple[float, float]
    placed: list[tuple[float, float]]
    waiting: list[tuple[float, float]]
    orders: int
    charges: int
    taken_meanwhile: int
    copies: int


def outage(lab: Notebook) -> Outage:
    """Kill this notebook's broker under a running shop, start it again, and wait until all orders are charged."""
    with psycopg.connect(lab.database_url, autocommit=True) as db:
        db.execute("TRUNCATE orders, outbox, ledger, handled")
        relaying = lab.program(hinted_relay, database_url=lab.database_url, poll_s=0.2)
        consuming = lab.program(charge, database_url=lab.database_url)
        taking = lab.program(shop, database_url=lab.database_url)
        consuming.wait_for("handled", count=20)
        killed_at = datetime.now(UTC)
        lab.node.kill()
        lab.node.start()
        back_at = datetime.now(UTC)
        taking.wait_for("order", count=len(taking.of("order")) + 20)
        taking.kill()
        wait_until(lambda: _count(db, "ledger") == _count(db, "orders"), timeout_s=_TIMEOUT_S)
        relaying.kill()
        consuming.kill()
        copies = sum(not told["is_new"] for told in consuming.of("handled"))
        rows = db.execute("SELECT created_at, published_at FROM outbox ORDER BY id").fetchall()
        return _told(rows, killed_at, back_at, charges=_count(db, "ledger"), copies=copies)


def _count(db: idempotent.Db, table: str) -> int:
    query = psycopg.sql.SQL("SELECT count(*) FROM {}").format(psycopg.sql.Identifier(table))
    return int(db.execute(query).fetchall()[0][0])


def _told(
    rows: list[tuple[datetime, datetime]], killed_at: datetime, back_at: datetime, *, charges: int, copies: int
) -> Outage:
    start = rows[0][0]

    def since_start(at: datetime) -> float:
        return (at - start).total_seconds()

    created = sorted(since_start(row[0]) for row in rows)
    changes = sorted([(at_s, 1) for at_s in created] + [(since_start(row[1]), -1) for row in rows])
    waiting, number = [(0.0, 0.0)], 0
    for at_s, change in changes:
        number += change
        waiting.append((at_s, float(number)))
    dead = since_start(killed_at), since_start(back_at)
    return Outage(
        dead=dead,
        placed=[(at_s, float(count)) for count, at_s in enumerate(created, 1)],
        waiting=waiting,
        orders=len(rows),
        charges=charges,
        taken_meanwhile=sum(dead[0] < at_s < dead[1] for at_s in created),
        copies=copies,
    )
