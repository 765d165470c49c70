"""Chapter 08: shop and relay killed at every point, the life of one row, how late a message is, and a dead broker."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from pika.adapters.blocking_connection import BlockingChannel

from labs.display import Mark, Stretch
from labs.notebook.experiments.dual_writes import BODY, in_child, relay_all
from labs.notebook.session import Notebook
from labs.patterns import idempotent
from labs.patterns.outbox import QUEUE, open_channel, place_order, relay, relay_batch
from labs.processes import wait_until
from labs.programs import report

_TIMEOUT_S = 30.0
_SEED = 8

#: Who is killed, and where; the points are those of `_sell_one` and `_relay_one`.
CRASHES: Mapping[str, tuple[str, str]] = {
    "shop, before its commit": ("shop", "not committed"),
    "shop, after its commit": ("shop", "committed"),
    "relay, after its claim": ("relay", "claimed"),
    "relay, between confirm and mark": ("relay", "confirmed"),
    "relay, between mark and commit": ("relay", "marked"),
    "relay, after its commit": ("relay", "committed"),
}


class Watched:
    """A channel whose publishing calls before and after."""

    def __init__(self, url: str, *, before: Callable[[], object], after: Callable[[], object]) -> None:
        self._channel, self._before, self._after = open_channel(url), before, after

    def basic_publish(self, *arguments: Any, **options: Any) -> None:
        self._before()
        self._channel.basic_publish(*arguments, **options)
        self._after()


def crasher(url: str, database_url: str) -> None:
    """Whenever it is notified of `who:point`, lets a child process do that and be killed there."""
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("LISTEN crash")
        report("ready")
        for notification in db.notifies():
            who, point = notification.payload.split(":")
            act = _relay_one if who == "relay" else _sell_one
            report("killed", signal=in_child(lambda reach, act=act: act(url, database_url, reach), point))  # type: ignore[misc]


def _sell_one(_: str, database_url: str, reach: Callable[[str], None]) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        with db.transaction():
            place_order(db, BODY)
            reach("not committed")
        reach("committed")


def _relay_one(url: str, database_url: str, reach: Callable[[str], None]) -> None:
    channel = Watched(url, before=lambda: reach("claimed"), after=lambda: reach("confirmed"))
    with psycopg.connect(database_url, autocommit=True) as db:
        with db.transaction():
            relay_batch(cast("Any", channel), db)
            reach("marked")
        reach("committed")


@dataclass(frozen=True)
class Left:
    """What there is after a crash, once others have taken over: orders, messages that came, and charges."""

    orders: int
    messages: int
    charged: int


def kill_each(lab: Notebook) -> dict[str, Left]:
    """One order for each crash; then another relay works on, and the consumer of chapter 07 takes what comes."""
    program = lab.program(crasher, database_url=lab.database_url)
    program.wait_for("ready")
    channel, left = open_channel(lab.amqp_url), {}
    with psycopg.connect(lab.database_url, autocommit=True) as db:
        for number, (crash, (who, point)) in enumerate(CRASHES.items(), 1):
            if who == "relay":
                place_order(db, BODY)
            db.execute("SELECT pg_notify('crash', %s)", [f"{who}:{point}"])
            assert program.wait_for("killed", count=number)[-1]["signal"] == signal.SIGKILL
            relay_all(channel, db)
            messages = _charge_all(channel, db)
            orders, charged = (db.execute(sql).rowcount for sql in ("DELETE FROM orders", "DELETE FROM ledger"))
            left[crash] = Left(orders, messages, charged)
    program.kill()
    channel.connection.close()
    return left


def _charge_all(channel: BlockingChannel, db: idempotent.Db) -> int:
    """Handle all that is in the queue, each once; returns how many messages that were."""
    messages = 0
    while (got := cast("Any", channel.basic_get(QUEUE)))[0] is not None:
        messages += 1
        idempotent.handle_once(db, QUEUE, got[1].message_id, idempotent.pay, got[2])
        channel.basic_ack(got[0].delivery_tag)
    return messages


def traced_relay(url: str, database_url: str) -> None:
    """The pattern's relay; tells when it publishes, when that is confirmed, and when the row is marked."""
    channel = Watched(url, before=lambda: report("publishes"), after=lambda: report("confirmed"))
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("LISTEN outbox")
        report("ready")
        while True:
            if relay_batch(cast("Any", channel), db):
                report("marked")
            else:
                list(db.notifies(timeout=1, stop_after=1))


def traced_consumer(url: str, database_url: str) -> None:
    """The consumer of chapter 07; tells when a message is there, and when it is handled."""

    def effect(db: idempotent.Db, body: bytes) -> None:
        report("delivered")
        idempotent.pay(db, body)

    channel, db = idempotent.open_channel(url), psycopg.connect(database_url, autocommit=True)
    report("ready")
    for method, properties, body in cast("Any", channel.consume(QUEUE)):
        idempotent.handle_once(db, QUEUE, properties.message_id, effect, body)
        channel.basic_ack(method.delivery_tag)
        report("handled")


def life_of_a_row(lab: Notebook) -> dict[str, Sequence[Mark | Stretch]]:
    """Who had the order in hand, and when, in milliseconds: for `tracks`."""
    programs = [lab.program(run, database_url=lab.database_url) for run in (traced_relay, traced_consumer)]
    relaying, consuming = programs
    for program in programs:
        program.wait_for("ready")
    with psycopg.connect(lab.database_url, autocommit=True) as db:
        for number in (1, 2):  # the first one opens everything that is opened at first use
            start_s = time.monotonic()
            place_order(db, BODY)
            committed_s = time.monotonic()
            relaying.wait_for("marked", count=number)
            consuming.wait_for("handled", count=number)
        db.execute("DELETE FROM orders")
        db.execute("DELETE FROM ledger")
    told = {told.event: (told.at_s - start_s) * 1000 for program in programs for told in program.reports}
    for program in programs:
        program.kill()
    committed = (committed_s - start_s) * 1000
    return {
        "shop": [Stretch(0, committed, "transaction")],
        "outbox row": [Stretch(committed, told["marked"], "not published yet")],
        "relay": [
            Stretch(told["publishes"], told["confirmed"], "waits for the confirm"),
            Mark(told["marked"], "marks"),
        ],
        "consumer": [Stretch(told["delivered"], told["handled"], "charges")],
    }


def hinted_relay(url: str, database_url: str, poll_s: float) -> None:
    """The pattern's relay."""
    relay(url, database_url, poll_s)


def polling_relay(url: str, database_url: str, poll_s: float) -> None:
    """A relay that only looks now and then."""
    channel = open_channel(url)
    with psycopg.connect(database_url, autocommit=True) as db:
        while True:
            if relay_batch(channel, db) == 0:
                time.sleep(poll_s)


def latencies_ms(lab: Notebook, run: Callable[..., None], *, poll_s: float, orders: int) -> list[float]:
    """From the insert of each order to the confirm of its message, by the clock of the database."""
    program = lab.program(run, database_url=lab.database_url, poll_s=poll_s)
    draw = random.Random(_SEED)  # noqa: S311 (no secret)
    with psycopg.connect(lab.database_url, autocommit=True) as db:
        place_order(db, BODY)
        wait_until(lambda: _unpublished(db) == 0, timeout_s=_TIMEOUT_S)  # it runs
        db.execute("DELETE FROM outbox")
        for _ in range(orders):
            place_order(db, BODY)
            time.sleep(draw.uniform(0.01, 0.05))
        wait_until(lambda: _unpublished(db) == 0, timeout_s=_TIMEOUT_S)
        program.kill()
        took = db.execute("SELECT extract(epoch FROM published_at - created_at) * 1000 FROM outbox").fetchall()
        db.execute("TRUNCATE outbox, orders")
    open_channel(lab.amqp_url).queue_purge(QUEUE)
    return [float(took_ms) for (took_ms,) in took]


def _unpublished(db: idempotent.Db) -> int:
    return int(db.execute("SELECT count(*) FROM outbox WHERE published_at IS NULL").fetchall()[0][0])
