"""The search for a capacity: its interval holds the truth, chance does not fool it, and it blames whom it should."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.capacity import Capacity, Goal, search
from loadtest.results import Run
from loadtest.results.plots import plot_capacity
from loadtest.step import Phase, Step, judged

MakeRun = Callable[..., Run]
GOAL = Goal(start=1000, least=10, most=1_000_000, precision=0.1, step_s=5, hold_s=20, repeats=2)


def step(rate: float, phase: Phase, *, passed: bool, client: bool = False, narrow: bool = False) -> Step:
    why = "" if passed else "the backlog grew"
    return Step(rate, phase, 1.0 if passed else 0.7, 5.0, passed, client and not passed, why, narrow)


def broker(capacity: float, *, generator: float = float("inf")) -> Callable[[float, float, Phase], Step]:
    """One that takes so many messages a second, loaded by a generator that can make so many."""
    return lambda rate, _, phase: step(rate, phase, passed=rate <= min(capacity, generator), client=rate > generator)


@given(st.floats(20, 900_000))
@settings(max_examples=100, deadline=None)
def test_the_interval_holds_the_capacity_and_is_as_narrow_as_asked(capacity: float) -> None:
    found = search(broker(capacity), GOAL)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= capacity < found.high <= found.low * 1.1
    assert found.complete
    assert not found.client_bound
    assert [each.phase for each in found.steps[-2:]] == ["hold", "hold"]
    assert all(each.rate == found.low for each in found.steps[-2:])


def test_a_generator_that_gives_up_first_is_named_and_the_broker_is_not_blamed() -> None:
    found = search(broker(1e9, generator=30_000), GOAL)
    assert found.client_bound
    assert found.high is None
    assert found.low == 16_000
    assert "the load generator was the limit, not the broker" in str(found)


def test_a_broker_that_takes_everything_is_said_to_take_at_least_that() -> None:
    found = search(broker(1e9), dataclasses.replace(GOAL, most=9000))
    assert (found.low, found.high, found.complete) == (9000, None, True)
    assert "at least 9,000" in str(found)


def test_a_broker_that_takes_nothing_is_said_to_with_the_reason() -> None:
    found = search(broker(1), GOAL)
    assert found.low is None
    assert str(found) == "no rate met the objective; at 10/s: the backlog grew"


def test_what_passes_briefly_and_does_not_hold_is_not_reported() -> None:
    # Given a broker that takes 5,000 for a moment, and 3,000 for long
    def attempt(rate: float, seconds: float, phase: Phase) -> Step:
        return step(rate, phase, passed=rate <= (3000 if seconds > 10 else 5000))

    found = search(attempt, GOAL)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 3000 < found.high
    assert found.complete


def test_one_failure_by_chance_is_tried_again() -> None:
    seen: list[float] = []

    def attempt(rate: float, seconds: float, phase: Phase) -> Step:
        seen.append(rate)
        unlucky = rate == 2000 and seen.count(2000) == 1
        return step(rate, phase, passed=rate <= 6000 and not unlucky, narrow=unlucky)

    found = search(attempt, GOAL)
    assert found.low is not None
    assert found.low > 5400


def test_when_the_time_is_over_it_says_so() -> None:
    left = iter([True] * 3)
    found = search(broker(1e6), GOAL, time_is_left=lambda _: next(left, False))
    assert (found.low, found.complete) == (4000, False)
    assert "the time was over" in str(found)
    assert str(search(broker(1), GOAL, time_is_left=lambda _: False)).startswith("nothing was tried")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"received": 985.0}, "98.5%"),
        ({"backlog_grows": True}, "backlog grew"),
        ({"p99": 51.0}, "p99 was 51 ms"),
        ({"lost": 1}, "lost"),
    ],
    ids=lambda each: str(each),
)
def test_a_step_passes_only_if_everything_is_met(changes: dict[str, float], why: str, a_run: MakeRun) -> None:
    made = judged(a_run(**changes), rate=1000, phase="bisect", objective_ms=50)
    assert made.passed == (why == "")
    assert why in made.why


def test_a_failure_of_the_client_is_no_failure_of_the_broker(a_run: MakeRun) -> None:
    made = judged(a_run(received=500.0, limit="client"), rate=1000, phase="bisect", objective_ms=50)
    assert made.client_bound
    assert isinstance(search(lambda rate, _, phase: dataclasses.replace(made, rate=rate), GOAL), Capacity)


def test_the_picture_says_what_every_step_gave() -> None:
    found = search(broker(3000), GOAL)
    text = plot_capacity(found, objective_ms=50).text
    assert f"Capacity: {found}" in text
    assert "bracket 4,000/s: the backlog grew" in text
    assert "bracket 2,000/s: passed" in text
