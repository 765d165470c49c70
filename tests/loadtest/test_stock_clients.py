"""Runs of stock clients on the real broker: their books are as exact as the engine's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labs.broker import VirtualHost
from loadtest.engine import stamps
from loadtest.engine.consumption import Consumption
from loadtest.engine.plan import Plan, Task
from loadtest.engine.result import Sample
from loadtest.engine.run import execute
from loadtest.engine.singly import SingleReceipts
from loadtest.engine.workers import RunFailed
from tests.loadtest.amqp import RUN, stamped_body
from tests.loadtest.test_run import assert_whole
from tests.loadtest.tls import certificate, door

stock_clients = pytest.mark.parametrize("client", ["pika", "aio-pika"])
WORDS = st.integers(0, 2**62)


def short(**changes: Any) -> Plan:
    return Plan(**{"rate": 300, "duration_s": 1.5, "warmup_s": 0.3, **changes})


@stock_clients
@pytest.mark.parametrize(
    "changes",
    [
        {"queue_type": "quorum", "ack_every": 1},
        {"queue_type": "stream", "producers": 2, "consumers": 2, "queues": 2},
        {"rate": None, "window": 50, "size": 48, "persistent": False, "duration_s": 4.0, "warmup_s": 1.5},
        {"size": 300_000, "rate": 30, "arrivals": "poisson", "queues": 2},
    ],
    ids=lambda changes: "-".join(f"{name}-{value}" for name, value in changes.items()),
)
def test_every_message_is_accounted_for(url: str, vhost: VirtualHost, client: str, changes: dict[str, Any]) -> None:
    result = execute(short(client=client, **changes), url)
    assert_whole(result)
    assert result.integrity.delivered > 20
    counts = {name: histogram.count for name, histogram in result.histograms.items()}
    assert len(set(counts.values())) == 1, counts
    assert 0 < counts["confirm"] < result.integrity.sent
    assert result.quantile_ms("from_intended", 0.5) >= result.quantile_ms("from_sent", 0.5) * 0.98
    assert result.cpu_s["publishing"] > 0 < result.cpu_s["consuming"]
    assert vhost.queues() == [], "its queues are removed"


@stock_clients
def test_without_confirms_deliveries_are_counted_all_the_same(url: str, client: str) -> None:
    result = execute(short(client=client, window=0), url)
    found = result.integrity
    assert (found.confirmed, found.lost) == (0, 0)
    assert found.offered == found.sent == found.delivered > 0


@pytest.mark.parametrize(("client", "window"), [("pika", 0), ("pika", 20), ("aio-pika", 20)])
def test_messages_without_a_queue_come_back_and_are_counted(
    url: str, vhost: VirtualHost, client: str, window: int
) -> None:
    # Given a queue that disappears in the middle
    names: list[str] = []
    sent_before: list[int] = []

    def delete(sample: Sample) -> None:
        if not names:
            names.append(vhost.queues()[0].name)
        elif sample.sent > 50 and not sent_before:
            with pika.BlockingConnection(pika.URLParameters(url)) as connection:
                connection.channel().queue_delete(names[0])
            sent_before.append(sample.sent)

    result = execute(short(client=client, consumers=0, window=window, duration_s=10.0), url, watch=delete)
    found = result.integrity
    # What was published after that is neither confirmed nor lost: the broker has said that nobody wants it.
    assert found.returned > 20
    assert found.sent == found.offered == found.returned + found.confirmed + found.unconfirmed
    assert found.unconfirmed == 0 or window == 0


@stock_clients
@pytest.mark.parametrize("kind", ["producer", "consumer"])
def test_a_closed_connection_is_reported_and_the_run_goes_on(
    url: str, vhost: VirtualHost, client: str, kind: str
) -> None:
    closed: list[str] = []

    def close(sample: Sample) -> None:
        if sample.at_s > 0.5 and not closed:
            for connection in vhost.management.connections(vhost.name):
                if connection.title.startswith(f"load {kind}"):
                    vhost.management.close_connection(connection.name)
                    closed.append(connection.name)

    result = execute(short(client=client, duration_s=12.0), url, watch=close)
    found = result.integrity
    assert closed
    assert any("refuses" in error or "lost" in error for error in result.errors), result.errors
    assert found.sent == found.offered
    assert (found.lost, found.left, found.corrupt) == (0, 0, 0)
    assert found.confirmed + found.unconfirmed == found.sent
    # What was delivered and not yet acknowledged comes again, and says so.
    assert found.duplicated <= found.redelivered


@stock_clients
def test_a_broker_that_refuses_every_message_ends_the_run_soon(url: str, vhost: VirtualHost, client: str) -> None:
    name = f"load-{vhost.name}"
    vhost.management.create_user(name, "secret")
    vhost.management.set_permissions(vhost.name, name, write="^$")
    address = urlsplit(url)
    mine = address._replace(netloc=f"{name}:secret@{address.netloc.rpartition('@')[2]}").geturl()
    started = time.monotonic()
    try:
        with pytest.raises(RunFailed, match=r"nothing could be published.*ACCESS_REFUSED"):
            execute(short(client=client, duration_s=600.0), mine)
    finally:
        vhost.management.delete_user(name)
    assert time.monotonic() - started < 120


@pytest.mark.parametrize("client", ["pika", "aio-pika", "engine"])
def test_tls_is_for_stock_clients(url: str, client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = urlsplit(url)
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with door(str(address.hostname), address.port or 5672, cert=cert, key=key) as port:
        user, _, _ = address.netloc.rpartition("@")
        secure = address._replace(scheme="amqps", netloc=f"{user}@127.0.0.1:{port}").geturl()
        if client == "engine":
            with pytest.raises(RunFailed, match="choose the client pika or aio-pika"):
                execute(short(), secure)
        else:
            assert_whole(execute(short(client=client), secure))


@given(run=WORDS, producer=st.integers(0, 2**32 - 1), sequence=WORDS, intended_ns=WORDS, sent_ns=WORDS)
def test_a_single_stamp_is_what_many_are(
    run: int, producer: int, sequence: int, intended_ns: int, sent_ns: int
) -> None:
    [many] = stamps.stamp(
        run=run, producer=producer, sequences=np.array([sequence]), intended_ns=np.array([intended_ns]), sent_ns=sent_ns
    )
    one = stamps.packed(run=run, producer=producer, sequence=sequence, intended_ns=intended_ns, sent_ns=sent_ns)
    assert one == many.tobytes()
    assert stamps.sequence_of(one + b"more") == sequence


def test_changed_and_foreign_bodies_are_told_apart_one_by_one(tmp_path: Path) -> None:
    plan = Plan(size=100)
    account = Consumption(Task(plan=plan, url="", run=RUN, number=0, queues=("q",), results=str(tmp_path / "books")))
    account.begin(time.monotonic_ns())
    receipts = SingleReceipts(account, "q")
    whole = stamped_body(1, size=100)
    receipts.take(whole, tag=1, redelivered=True)
    for changed_at in (9, 17, 99):  # in the stamp, in its sequence, in the filler
        receipts.take(
            whole[:changed_at] + bytes([whole[changed_at] ^ 1]) + whole[changed_at + 1 :], tag=2, redelivered=False
        )
    receipts.take(b"somebody else's" * 9, tag=3, redelivered=False)
    receipts.take(b"", tag=4, redelivered=False)
    receipts.write()
    account.write()
    assert account.counts == {"received": 1, "redelivered": 1, "corrupt": 3, "foreign": 2}
