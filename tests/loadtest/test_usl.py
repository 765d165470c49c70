"""The Universal Scalability Law: a known curve is found again, its intervals hold the truth, nonsense is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from loadtest.usl import Usl, fit

COUNTS = (1, 2, 4, 8, 16)


@pytest.mark.parametrize("truth", [Usl(50, 0.2, 0.0), Usl(50, 0.05, 0.01), Usl(50, 0.0, 0.0)], ids=str)
def test_a_known_curve_is_found_again(truth: Usl) -> None:
    found = fit({count: [truth.at(count)] for count in COUNTS}).curve
    assert found.one == pytest.approx(truth.one)
    assert found.contention == pytest.approx(truth.contention, abs=1e-6)
    assert found.coherence == pytest.approx(truth.coherence, abs=1e-6)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random, truth, held = np.random.default_rng(5), Usl(50, 0.1, 0.005), 0
    for seed in range(20):
        points = {count: (truth.at(count) * random.normal(1, 0.02, 6)).tolist() for count in COUNTS}
        low, high = fit(points, seed=seed).interval("contention")
        held += low <= truth.contention <= high
    assert held >= 16


def test_peak_and_knee_are_where_they_are_defined() -> None:
    curve = Usl(100, 0.1, 0.01)
    assert curve.peak == pytest.approx(math.sqrt(0.9 / 0.01))
    assert curve.at(9) > curve.at(8)
    assert curve.at(11) < curve.at(9)
    knee = curve.knee(most=20)
    assert knee is not None
    assert curve.at(knee) - curve.at(knee - 1) >= 50 > curve.at(knee + 1) - curve.at(knee)
    assert Usl(100, 0.0, 0.0).knee(most=20) is None
    assert Usl(100, 0.2, 0.0).peak == math.inf


def test_how_many_are_needed_is_read_from_the_curve_and_none_are_enough_beyond_its_peak() -> None:
    straight = fit({count: [50.0 * count] * 2 for count in COUNTS})
    assert (straight.needed(300), straight.needed(301)) == (6, 7)
    assert straight.knee is None
    bent = fit({count: [Usl(50, 0.2, 0.01).at(count)] * 2 for count in COUNTS})
    assert bent.needed(10_000) is None
    assert bent.knee is not None


@pytest.mark.parametrize("points", [{1: [1.0], 2: [2.0]}, {1: [1.0], 2: [0.0], 3: [1.0]}, {1: [1.0], 2: [], 3: [1.0]}])
def test_too_few_measurements_are_refused(points: dict[int, list[float]]) -> None:
    with pytest.raises(ValueError, match="three numbers of workers"):
        fit(points)
