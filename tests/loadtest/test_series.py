"""What processes tell by their own clocks is put together without the noise of who told last."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from loadtest.engine.histogram import Histogram
from loadtest.engine.series import Series


def ticks(first_s: float, *, rate: float, name: str, count: int = 10) -> list[dict[str, Any]]:
    """A process that tells its total every half second, first at `first_s`."""
    moments = [first_s + 0.5 * number for number in range(count)]
    told = []
    for moment in moments:
        histogram = Histogram()
        histogram.record(np.full(round(moment * rate), 1_000_000 * round(moment + 1), np.int64))
        told.append({"at_s": moment, name: moment * rate, "busy": 0.2, "from_sent": histogram.sparse()})
    return told


def test_totals_of_processes_that_tell_at_different_moments_are_exact() -> None:
    series = Series((ticks(0.1, rate=100, name="sent"), ticks(0.4, rate=300, name="sent")), ())
    assert series.total("sent", np.array([1.0, 2.5])).tolist() == pytest.approx([400, 1000])


def test_the_backlog_is_not_what_one_told_later_than_the_other() -> None:
    series = Series((ticks(0.1, rate=100, name="sent"),), (ticks(0.45, rate=90, name="received"),))
    assert series.backlog(np.array([1.0, 2.0, 3.0])).tolist() == pytest.approx([10, 20, 30])


def test_a_histogram_of_a_part_holds_what_came_in_it() -> None:
    told = ticks(0.5, rate=100, name="received")
    # Given a process whose histograms are totals, as it tells them
    for before, after in itertools.pairwise(told):
        total = Histogram.from_sparse(before["from_sent"])
        part = Histogram()
        part.record(np.full(50, 7_000_000, np.int64))
        total.merge(part)
        after["from_sent"] = total.sparse()
    series = Series((), (told,))
    found = series.within("from_sent", 1.0, 3.0)
    assert found.count == 200
    assert found.quantile_ms(0.99) == pytest.approx(7, rel=0.01)


def test_without_processes_all_is_zero() -> None:
    series = Series((), ())
    assert series.total("sent", np.array([1.0])).tolist() == [0]
    assert series.busiest("consumers", np.array([1.0])).tolist() == [0]
    assert series.within("confirm", 0, 1).count == 0


def test_where_the_last_message_came_the_total_bends() -> None:
    # Given a process that has told of its last message, which came between two ticks
    told = ticks(0.5, rate=100, name="received", count=3)
    told.append({**told[-1], "at_s": 2.0, "received": 170.0, "last_s": {"received": 1.7}})
    # Then the total has stood still since that message.
    assert Series((), (told,)).total("received", np.array([1.5, 1.7, 1.9])).tolist() == pytest.approx([150, 170, 170])
