"""Whole runs on the real broker: every message accounted for, in every kind of queue, whatever happens to it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import psutil
import pytest

from labs.broker import VirtualHost
from loadtest.engine.plan import Plan
from loadtest.engine.result import Result, Sample
from loadtest.engine.run import execute
from loadtest.engine.workers import RunFailed


def short(**changes: Any) -> Plan:
    return Plan(**{"rate": 500, "duration_s": 2.0, "warmup_s": 0.5, **changes})


def assert_whole(result: Result) -> None:
    found = result.integrity
    assert found.offered == found.sent == found.confirmed == found.delivered, found
    assert (found.duplicated, found.left, found.out_of_order) == (0, 0, 0)
    assert found.is_whole
    assert result.errors == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"queue_type": "quorum"},
        {"queue_type": "stream"},
        {"producers": 2, "consumers": 3, "queues": 2},
        {"size": 48, "persistent": False, "queues": 3},
        {"size": 300_000, "rate": 40},
        {"rate": None, "window": 100, "duration_s": 4.0, "warmup_s": 1.5},
        {"arrivals": "poisson", "shape": "bursts"},
    ],
    ids=lambda changes: "-".join(f"{name}-{value}" for name, value in changes.items()) or "plain",
)
def test_every_message_of_a_run_is_accounted_for(url: str, vhost: VirtualHost, changes: dict[str, Any]) -> None:
    result = execute(short(**changes), url)
    assert_whole(result)
    assert result.integrity.delivered > 50
    # All four latencies are there, of what was sent after the warm-up.
    counts = {name: histogram.count for name, histogram in result.histograms.items()}
    assert len(set(counts.values())) == 1, counts
    assert 0 < counts["confirm"] < result.integrity.sent
    assert 0 < result.quantile_ms("confirm", 0.5) < 5_000
    assert result.quantile_ms("from_intended", 0.5) >= result.quantile_ms("from_sent", 0.5) * 0.98
    assert vhost.queues() == [], "its queues are removed"


def test_latencies_can_be_watched_and_grow_to_those_of_the_result(url: str) -> None:
    seen: list[int] = []
    result = execute(short(), url, watch_latencies=lambda histograms: seen.append(histograms["confirm"].count))
    assert seen == sorted(seen)
    assert seen[0] < seen[-1] == result.histograms["confirm"].count > 0


@pytest.mark.parametrize("queue_type", ["classic", "quorum", "stream"])
def test_without_consumers_everything_is_left_and_nothing_lost(url: str, queue_type: str) -> None:
    result = execute(short(consumers=0, queue_type=queue_type), url)
    assert result.integrity.left == result.integrity.confirmed == result.integrity.offered
    assert result.integrity.lost == 0


def test_without_confirms_deliveries_are_counted_all_the_same(url: str) -> None:
    result = execute(short(window=0), url)
    assert result.integrity.confirmed == 0
    assert result.integrity.delivered == result.integrity.sent
    assert result.integrity.lost == 0


def test_a_closed_connection_is_reported_and_the_run_goes_on(url: str, vhost: VirtualHost) -> None:
    closed: list[str] = []

    def close(sample: Sample) -> None:
        if sample.at_s > 0.8 and not closed:
            for connection in vhost.management.connections(vhost.name):
                if connection.title.startswith("load producer"):
                    vhost.management.close_connection(connection.name)
                    closed.append(connection.name)

    result = execute(short(duration_s=12.0), url, watch=close)
    assert closed
    assert any("closed" in error.lower() or "refuses" in error for error in result.errors), result.errors
    assert result.integrity.sent == result.integrity.offered
    assert result.integrity.lost == 0
    # What was on its way may have arrived or not: it is neither lost nor confirmed.
    assert result.integrity.confirmed + result.integrity.unconfirmed == result.integrity.sent


def is_consumer(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):  # what an earlier test has started may be a zombie still
        return process.cmdline()[-2:] == ["loadtest.engine", "consume"]
    return False


def test_a_consumer_that_stands_still_at_the_end_is_waited_for(url: str) -> None:
    frozen: list[psutil.Process] = []

    def freeze(sample: Sample) -> None:
        if sample.at_s > 1.4 and not frozen:
            frozen.extend(each for each in psutil.Process().children() if is_consumer(each))
            for each in frozen:
                each.suspend()
                thaw = threading.Timer(5.0, each.resume)
                thaw.start()

    # Given a consumer to which the broker has sent everything, and which has not read it yet
    result = execute(short(rate=200, drain_s=60.0), url, watch=freeze)
    assert len(frozen) == 1
    assert_whole(result)


def test_a_message_purged_is_lost_and_said_to_be(url: str, vhost: VirtualHost) -> None:
    # Given a broker whose queue is emptied behind everybody's back, with nobody consuming yet
    purged: list[int] = []

    def purge(sample: Sample) -> None:
        if sample.at_s > 1.5 and not purged:
            connection = pika.BlockingConnection(pika.URLParameters(url))
            [queue] = vhost.queues()
            purged.append(connection.channel().queue_purge(queue.name).method.message_count)
            connection.close()

    result = execute(short(consumers=0, duration_s=12.0), url, watch=purge)
    assert purged[0] > 0
    assert result.integrity.lost == purged[0]
    assert not result.integrity.is_whole


def test_what_never_arrives_makes_the_quantile_infinite(url: str) -> None:
    result = execute(short(), url)
    result.censored = result.histograms["from_sent"].count
    assert math.isinf(result.quantile_ms("from_sent", 0.99))
    assert math.isfinite(result.quantile_ms("from_sent", 0.25))


def test_rates_are_over_the_time_in_which_there_was_load(url: str, tmp_path: Path) -> None:
    # Given a trace of six seconds, of which the first is left out, in a run that might have lasted ten minutes
    trace = tmp_path / "trace"
    trace.write_text("\n".join(str(number / 200) for number in range(1201)))
    plan = short(shape="replay", trace=str(trace), duration_s=600.0, warmup_s=1.0)
    for _ in range(3):  # a machine that stands still for a moment falls behind; one that counts wrong always does
        result = execute(plan, url)
        rates = {name: result.rate(name) for name in ("due", "sent", "confirmed", "received")}
        if all(rate == pytest.approx(200, rel=0.15) for rate in rates.values()):
            break
    # Then all rates are those of the other five, but for their end.
    assert result.span_s == pytest.approx((1.0, 5.5))
    assert rates == dict.fromkeys(rates, pytest.approx(200, rel=0.15))


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("amqp://guest:guest@127.0.0.1:1/", "made"),
        ("amqp://nobody:wrong@{host}/", "made"),
        ("amqp://{user}@{host}/no-such-vhost", "made"),
    ],
)
def test_a_broker_that_does_not_let_us_in_is_a_clear_error(url: str, broken: str, why: str) -> None:
    user, _, host = url.removeprefix("amqp://").partition("/")[0].partition("@")
    with pytest.raises(RunFailed, match=why):
        execute(short(), broken.format(user=user, host=host))


def test_a_broker_that_refuses_every_message_ends_the_run_soon(url: str, vhost: VirtualHost) -> None:
    # Given a user who may read and declare everything, and publish nothing
    name = f"load-{vhost.name}"
    vhost.management.create_user(name, "secret")
    vhost.management.set_permissions(vhost.name, name, write="^$")
    address = urlsplit(url)
    mine = address._replace(netloc=f"{name}:secret@{address.netloc.rpartition('@')[2]}").geturl()
    started = time.monotonic()
    # When a long run is asked for, it ends at once, in the broker's words.
    try:
        with pytest.raises(RunFailed, match=r"nothing could be published.*ACCESS_REFUSED"):
            execute(short(duration_s=600.0), mine)
    finally:
        vhost.management.delete_user(name)
    assert time.monotonic() - started < 120
    assert vhost.queues() == []


def test_interrupted_it_gives_what_there_is_and_all_of_it_is_accounted_for(url: str, vhost: VirtualHost) -> None:
    for _ in range(3):  # a machine that stands still for a moment falls behind; one that counts wrong always does
        started = time.monotonic()
        result = execute(short(duration_s=600.0), url, watch=interrupting(after=1_500))
        assert time.monotonic() - started < 120
        assert result.partial
        found = result.integrity
        assert found.sent == found.confirmed == found.delivered > 1_500, found
        assert found.is_whole
        # What was due by then and not yet under way was offered; what the rest of ten minutes had brought was not.
        assert found.unsent == found.offered - found.sent < 20_000
        assert result.load_s < 120
        assert vhost.queues() == []
        if result.rate("sent") == pytest.approx(500, rel=0.1):
            break
    # And its rates are those of the time that it had, without what came after the interruption.
    assert result.rate("sent") == pytest.approx(500, rel=0.1)


def interrupting(*, after: int) -> Callable[[Sample], None]:
    """Ctrl-C, once, when so many messages have been received."""
    interrupted: list[Sample] = []

    def interrupt(sample: Sample) -> None:
        if sample.received > after and not interrupted:
            interrupted.append(sample)
            raise KeyboardInterrupt

    return interrupt
