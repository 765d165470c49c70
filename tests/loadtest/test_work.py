"""Consumers that work: a message counts when its work is done, none is lost on the way, and their time is blamed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from labs.broker import VirtualHost
from loadtest.engine.plan import Plan, PlanError
from loadtest.engine.result import Result, Sample
from loadtest.engine.run import execute
from loadtest.engine.verdict import AT_WORK, at_work_of
from loadtest.presets import variants_of


def working(**changes: Any) -> Plan:
    given = {"rate": 60, "duration_s": 1.5, "warmup_s": 0.3, "work_ms": 20.0, "consumers": 2, "prefetch": 1}
    return Plan(**{**given, **changes})


def busy(plan: Plan, url: str, *, at_work: float) -> Result:
    """A run in which the workers had their hands full for so much of the time: a machine may have stood still."""
    for _ in range(3):
        result = execute(plan, url)
        if at_work_of(result)[0] > at_work:
            break
    return result


def assert_whole(result: Result) -> None:
    found = result.integrity
    assert found.offered == found.sent == found.confirmed == found.delivered, found
    assert (found.duplicated, found.left, found.out_of_order, found.lost) == (0, 0, 0, 0)
    assert result.errors == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prefetch": 10, "ack_every": 5, "queues": 2, "consumers": 3},
        {"queue_type": "quorum", "work": "exponential", "arrivals": "poisson", "seed": 3},
        {"shared_ms": 5.0},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_every_message_is_worked_for_and_counts_when_that_is_done(url: str, changes: dict[str, Any]) -> None:
    result = execute(working(**changes), url)
    assert_whole(result)
    if result.plan.work == "constant":
        assert result.histograms["from_sent"].least_ns >= 20e6
    assert result.histograms["from_sent"].mean_ms > 15


def test_too_few_workers_are_named_as_the_limit_and_enough_are_not(url: str) -> None:
    # Given 80 messages a second of 20 ms: work for 1.6
    few, enough = (
        busy(working(rate=80, consumers=count, prefetch=50, duration_s=6.0), url, at_work=at_work).limit
        for count, at_work in ((1, AT_WORK), (4, 0.0))
    )
    assert few.by == "workers"
    assert str(few).startswith("worker-bound: 1 worker was at work")
    # What is due is told twice a second: one message more or less may be seen.
    assert re.search(r"(79|80|81) messages/s of 20 ms need 1\.6 workers", few.why)
    assert enough.by != "workers", enough


def test_what_is_shared_is_done_by_one_at_a_time(url: str) -> None:
    # Given three workers who do nothing that another could do at the same time
    plan = working(rate=90, consumers=3, shared_ms=20.0, drain_s=0.0, duration_s=4.0, prefetch=50)
    result = busy(plan, url, at_work=0.7)
    assert result.rate("received") <= 52  # one more at either end of the span
    at_work, waiting = at_work_of(result)
    assert at_work > 0.7
    assert waiting > 0.4
    assert "in line for what they share" in result.limit.why


def test_work_that_is_still_under_way_is_waited_for(url: str) -> None:
    # Given a worker who has all messages at once, and takes longer for one than the broker is quiet
    plan = working(rate=8, duration_s=0.5, warmup_s=0.0, consumers=1, prefetch=10, work_ms=1200.0)
    result = execute(plan, url)
    assert result.integrity.delivered == result.integrity.offered == 4
    assert result.integrity.left == 0


def test_what_a_worker_holds_when_its_connection_closes_is_done_all_the_same(url: str, vhost: VirtualHost) -> None:
    closed: list[str] = []

    def close(sample: Sample) -> None:
        if sample.received > 10 and not closed:
            for connection in vhost.management.connections(vhost.name):
                if connection.title.startswith("load consumer"):
                    vhost.management.close_connection(connection.name)
                    closed.append(connection.name)

    result = execute(working(duration_s=3.0, rate=40, prefetch=20), url, watch=close)
    assert closed
    assert result.errors
    assert result.integrity.delivered == result.integrity.sent == 120
    assert result.integrity.lost == result.integrity.unexpected == 0


def test_interrupted_what_is_not_done_is_the_brokers_again_and_counts_as_left(url: str, vhost: VirtualHost) -> None:
    interrupted: list[Sample] = []

    def interrupt(sample: Sample) -> None:
        if sample.received > 5 and not interrupted:
            interrupted.append(sample)
            raise KeyboardInterrupt

    # Given ten times more than can be done, most of it in the hands of the worker
    result = execute(
        working(duration_s=60.0, rate=200, consumers=1, work_ms=50.0, prefetch=2000, drain_s=1.0), url, watch=interrupt
    )
    assert result.partial
    found = result.integrity
    assert found.left > 10
    assert found.delivered + found.left == found.sent == found.confirmed
    assert found.is_whole
    assert vhost.queues() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": None}, "give a rate"),
        ({"client": "pika"}, "the engine's own"),
        ({"queue_type": "stream"}, "another queue"),
        ({"shared_ms": 21.0}, "a part of the work's"),
        ({"work_ms": 11_000.0}, "from 0 to 10,000 ms"),
        ({"ack_every": 0}, "a message at least"),
    ],
    ids=lambda each: str(each),
)
def test_work_that_makes_no_sense_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        working(**changes)


def test_an_ack_never_stands_for_more_than_the_prefetch_allows() -> None:
    assert Plan(prefetch=10).ack_every == 10
    few, many = variants_of(["prefetch=10", "prefetch=500,ack_every=50"])
    assert (few.of(Plan()).ack_every, many.of(Plan()).ack_every) == (10, 50)


def test_full_speed_is_named_as_it_is_typed() -> None:
    with pytest.raises(PlanError, match="--rate max"):
        Plan(rate=0)
