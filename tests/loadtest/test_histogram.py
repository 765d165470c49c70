"""The histogram: within 1 % at any quantile, and merging loses nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.engine.histogram import BUCKETS, Histogram, Recorder, merged

latencies = st.lists(st.integers(min_value=0, max_value=10**13), min_size=1, max_size=300)
quantiles = st.floats(min_value=0, max_value=1)


def histogram(values: list[int]) -> Histogram:
    made = Histogram()
    made.record(np.array(values, np.int64))
    return made


def nearest_rank(values: list[int], quantile: float) -> int:
    return sorted(values)[max(1, math.ceil(quantile * len(values))) - 1]


@given(latencies, quantiles)
@settings(max_examples=400, deadline=None)
def test_any_quantile_is_within_one_percent(values: list[int], quantile: float) -> None:
    exact = nearest_rank(values, quantile)
    assert histogram(values).quantile_ms(quantile) * 1e6 == pytest.approx(exact, rel=0.01, abs=0.5)


@given(latencies)
@settings(max_examples=100, deadline=None)
def test_least_most_mean_and_count_are_exact(values: list[int]) -> None:
    made = histogram(values)
    assert (made.count, made.least_ns, made.most_ns) == (len(values), min(values), max(values))
    assert made.mean_ms == pytest.approx(sum(values) / len(values) / 1e6)


@given(latencies, latencies)
@settings(max_examples=100, deadline=None)
def test_merged_is_the_same_as_recorded_together(one: list[int], other: list[int]) -> None:
    together, apart = histogram(one + other), merged([histogram(one), histogram(other)])
    assert (together.counts == apart.counts).all()
    assert (together.total_ns, together.least_ns, together.most_ns) == (apart.total_ns, apart.least_ns, apart.most_ns)


def test_stored_and_read_again_it_is_the_same() -> None:
    made = histogram([1, 5_000, 70_000_000, 3_000_000_000])
    again = Histogram.from_sparse(json.loads(json.dumps(made.sparse())))
    assert (again.counts == made.counts).all()
    assert again.quantiles_ms([0, 0.5, 1]) == made.quantiles_ms([0, 0.5, 1])


def test_an_empty_one_knows_nothing_and_says_so() -> None:
    empty = Histogram()
    empty.record(np.array([], np.int64))
    assert empty.count == 0
    assert math.isnan(empty.quantile_ms(0.99))
    assert math.isnan(empty.mean_ms)


def test_values_beyond_the_range_are_counted_at_its_end() -> None:
    made = histogram([-5, 2**62])
    assert made.count == 2
    assert (made.least_ns, made.counts[BUCKETS - 1]) == (0, 1)


@given(st.lists(st.lists(st.integers(0, 10**12), max_size=50), max_size=20))
def test_gathered_values_count_as_single_ones(batches: list[list[int]]) -> None:
    recorder, plain = Recorder(), Histogram()
    for number, batch in enumerate(batches):
        values = np.array(batch, np.int64)
        recorder.record(values)
        plain.record(values)
        if number % 3 == 0:  # also when it is asked in between
            assert recorder.histogram.count == plain.count
    assert recorder.histogram.sparse() == plain.sparse()
