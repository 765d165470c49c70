"""Trials of publishers: what counts as published must be in a queue, and everything must be published in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pika.adapters.blocking_connection import BlockingChannel

from labs.trial import operations as op
from labs.trial.bench import AT, Bench
from labs.trial.exercises.collector import Collector
from labs.trial.exercises.stage import Stage
from labs.trial.history import Ids
from labs.trial.site import clock_offset_ns, monotonic_ns

#: When a row is marked as published is written down by the database, whatever the program says of the time.
_MARKED = """
CREATE FUNCTION marked() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF NEW.published AND NOT OLD.published THEN NEW.marked_at := clock_timestamp(); END IF; RETURN NEW; END $$;
CREATE TRIGGER marked BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION marked();
"""
_COLUMNS = f"published boolean NOT NULL DEFAULT false, marked_at timestamptz, {AT}"
_ORDERS = f"CREATE TABLE orders (id text PRIMARY KEY, region text NOT NULL, {_COLUMNS});" + _MARKED
_OUTBOX = (
    "CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message text NOT NULL, "
    f"body text NOT NULL, {_COLUMNS});" + _MARKED
)
_PAUSE_S = 0.02


def routing(stage: Stage) -> None:
    """Orders of three regions, one of which nobody serves; the publisher is killed and started again."""
    bench, queues = stage.bench, ("shop.eu", "shop.us", "shop.unrouted")
    bench.database.execute(_ORDERS.format(table="orders").encode())
    with bench.channel() as channel:
        for queue in queues:
            channel.queue_declare(queue, durable=True)
    regions = ["eu", "us", "moon"] * 12
    stage.random.shuffle(regions)
    with Collector(bench, queues) as collector:
        stage.start("publisher-1")
        wanted = set()
        for number, region in enumerate(regions, start=1):
            queue = "shop.unrouted" if region == "moon" else f"shop.{region}"
            wanted.add((queue, f"order-{number}"))
            _place(bench, f"order-{number}", region, queue)
        stage.kill("publisher-1", after=op.PUBLISH, times=stage.random.randint(5, 25))
        stage.start("publisher-2")
        stage.finish(lambda: wanted <= collector.has and _all_marked(bench, "orders"))
    _write_marks(bench, "SELECT id, marked_at FROM orders WHERE published ORDER BY marked_at")


def confirms(stage: Stage) -> None:
    """The binding is gone for a while, so that orders come back; then the connection is closed."""
    bench, queue = stage.bench, "shop.orders"
    bench.database.execute(_ORDERS.format(table="orders").encode())
    with bench.channel() as channel:
        _declare(channel, queue, key="order")
    placed: set[tuple[str, str]] = set()

    def place(count: int) -> None:
        for _ in range(count):
            placed.add((queue, f"order-{len(placed) + 1}"))
            _place(bench, f"order-{len(placed)}", "eu", queue)
            time.sleep(_PAUSE_S)

    with Collector(bench, [queue]) as collector:
        stage.start("publisher-1")
        place(stage.random.randint(8, 15))
        stage.until(lambda: bench.times(op.PUBLISH, process="publisher-1") > 0, timeout_s=20)
        with _unbound(stage, queue, key="order"):
            place(stage.random.randint(8, 15))
            stage.until(lambda: placed <= {(queue, each) for each in bench.messages(op.PUBLISH)}, timeout_s=2)
        stage.close_connections("publisher-1")
        place(stage.random.randint(8, 15))
        stage.finish(lambda: placed <= collector.has and _all_marked(bench, "orders"))
    _write_marks(bench, "SELECT id, marked_at FROM orders WHERE published ORDER BY marked_at")


def outbox(stage: Stage) -> None:
    """Two relays: one is killed, the binding is gone for a while, and the first of some transactions commits last."""
    bench, queue = stage.bench, "payments"
    bench.database.execute(_OUTBOX.format(table="outbox").encode())
    with bench.channel() as channel:
        _declare(channel, queue, key="payment")
    written: set[tuple[str, str]] = set()

    def write(count: int) -> None:
        for _ in range(count):
            name = f"payment-{len(written) + 1}"
            written.add((queue, name))
            with _committed(bench, name, queue):
                bench.database.execute("INSERT INTO outbox (message, body) VALUES (%s, '10 ada')", [name])

    with Collector(bench, [queue]) as collector:

        def done() -> bool:
            return written <= collector.has and _all_marked(bench, "outbox")

        stage.start("relay-1", "relay-2")
        write(stage.random.randint(25, 35))
        stage.until(lambda: all(bench.times(op.PUBLISH, process=f"relay-{n}") > 0 for n in (1, 2)), timeout_s=5)
        with stage.fault("relay-1 is killed"):
            write(5)
            bench.kill("relay-1")
        stage.start("relay-3")
        with _unbound(stage, queue, key="payment"):
            write(10)
            stage.until(lambda: written <= {(queue, each) for each in bench.messages(op.PUBLISH)}, timeout_s=2)
        stage.until(done, timeout_s=3)
        _late(stage, written, lambda: write(5))
        stage.finish(done)
    _write_marks(bench, "SELECT message, marked_at FROM outbox WHERE published ORDER BY marked_at")


def _late(stage: Stage, written: set[tuple[str, str]], others: Callable[[], None]) -> None:
    """A row that got its number first is committed last, when those with higher numbers are published."""
    import psycopg  # noqa: PLC0415

    bench, late = stage.bench, "late-payment"
    with stage.fault("a transaction commits late"), psycopg.connect(bench.database_url) as slow:
        slow.execute("INSERT INTO outbox (message, body) VALUES (%s, '10 ada')", [late])
        others()
        stage.until(lambda: {message for _, message in written} <= bench.messages(op.PUBLISH), timeout_s=3)
        with _committed(bench, late, "payments"):
            slow.commit()
        written.add(("payments", late))


def _declare(channel: BlockingChannel, queue: str, *, key: str) -> None:
    channel.exchange_declare("shop", "direct", durable=True)
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, "shop", key)


@contextmanager
def _unbound(stage: Stage, queue: str, *, key: str) -> Iterator[None]:
    with stage.fault(f"{queue} is not bound for a while"), stage.bench.channel() as channel:
        channel.queue_unbind(queue, "shop", key)
        yield
        channel.queue_bind(queue, "shop", key)


def _place(bench: Bench, order: str, region: str, queue: str) -> None:
    with _committed(bench, order, queue):
        bench.database.execute("INSERT INTO orders (id, region) VALUES (%s, %s)", [order, region])


@contextmanager
def _committed(bench: Bench, message: str, queue: str) -> Iterator[None]:
    """What the block commits must have its effect at that queue."""
    ids = Ids(request=message, job=message, message=message, queue=queue)
    bench.history.add("client", "invoke", op.SUBMIT, ids)
    yield
    bench.history.add("client", "ok", op.SUBMIT, ids)
    bench.history.add("database", "ok", op.ROW, ids)
    bench.history.add("database", "ok", op.OUTBOX, ids, value=op.REQUEST)


def _all_marked(bench: Bench, table: str) -> bool:
    query = f"SELECT count(*) FROM {table} WHERE NOT published"
    return bench.database.execute(query.encode()).fetchone() == (0,)


def _write_marks(bench: Bench, query: str) -> None:
    offset_ns = clock_offset_ns()
    for message, at in bench.database.execute(query.encode()).fetchall():
        ids = Ids(job=message, message=message)
        bench.history.add("database", "ok", op.MARK, ids, at_ns=monotonic_ns(at, offset_ns=offset_ns))
