"""A comparison says that there is a difference where there is one, and that none is shown where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from loadtest.compare import compare
from loadtest.engine.plan import Plan, PlanError
from loadtest.intervals import ratio_of
from loadtest.presets import CONFIGURATIONS, QUESTIONS, variants_of
from loadtest.results import Run
from loadtest.results.compared import plot_compare

MakeRun = Callable[..., Run]
FULL_SPEED = Plan(rate=None)


def test_the_interval_is_students() -> None:
    # Given ratios whose logarithms are -0.1, 0, 0.1: mean 0, deviation 0.1, and t of two degrees of freedom 4.303
    found = ratio_of([1.0, 1.0, 1.0], [math.exp(-0.1), 1.0, math.exp(0.1)])
    assert found is not None
    assert found.middle == pytest.approx(1)
    assert math.log(found.high) == pytest.approx(4.303 * 0.1 / math.sqrt(3))
    assert math.log(found.low) == pytest.approx(-math.log(found.high))
    assert not found.differs


def test_the_interval_holds_the_truth_in_95_of_100_comparisons() -> None:
    random = np.random.default_rng(11)
    held = 0
    for _ in range(2000):
        # A drift of the machine that both halves of a pair share, and noise of their own.
        drift = np.exp(np.cumsum(random.normal(0, 0.3, 5)))
        first = drift * np.exp(random.normal(0, 0.05, 5))
        second = 1.5 * drift * np.exp(random.normal(0, 0.05, 5))
        found = ratio_of(first.tolist(), second.tolist())
        assert found is not None
        held += found.low <= 1.5 <= found.high
    assert 0.935 < held / 2000 < 0.965


@pytest.mark.parametrize(
    ("first", "second"), [([], []), ([1.0], [2.0]), ([1.0, math.inf], [2.0, 1.0]), ([0.0] * 3, [1.0] * 3)]
)
def test_where_there_is_nothing_to_compare_there_is_no_ratio(first: list[float], second: list[float]) -> None:
    assert ratio_of(first, second) is None


class Broker:
    """Gives runs whose figures depend on the plan, and notes what it was asked to do."""

    def __init__(self, a_run: MakeRun, **figures: Callable[[Plan], object]) -> None:
        self._a_run, self._figures = a_run, figures
        self._random = np.random.default_rng(3)
        self.asked: list[tuple[str, Plan]] = []

    def __call__(self, plan: Plan, name: str) -> Run:
        self.asked.append((name, plan))
        given = {key: figure(plan) for key, figure in self._figures.items()}
        noise = float(np.exp(self._random.normal(0, 0.02)))
        return self._a_run(name=name, rate=plan.rate, **{"received": 1000.0, **given, "p99": 5.0 * noise})


def speed(plan: Plan) -> float:
    return (2000.0 if plan.queue_type == "quorum" else 1000.0) * (plan.rate is None) + (plan.rate or 0)


def test_a_difference_is_shown_with_its_size_and_none_where_there_is_none(a_run: MakeRun) -> None:
    broker = Broker(a_run, received=speed)
    found = compare(FULL_SPEED, variants_of(["classic", "quorum"]), rounds=5, do=broker)
    rate, p99 = found.findings
    assert rate.differs
    assert rate.ratio is not None
    assert rate.ratio.middle == pytest.approx(2)
    assert str(rate) == "rate: they differ: quorum is 2.00 to 2.00 times classic (medians 2,000/s against 1,000/s)"
    assert not p99.differs
    assert str(p99).startswith("p99 at 500/s: no difference shown between quorum and classic (0.9")
    assert found.warnings == []
    assert "they differ: quorum is" in plot_compare(found).text


def test_runs_are_interleaved_first_at_full_speed_then_at_half_of_the_slowest(
    a_run: MakeRun,
) -> None:
    broker = Broker(a_run, received=speed)
    compare(FULL_SPEED, variants_of(["classic", "quorum"]), rounds=3, do=broker)
    types = ["c" if plan.queue_type == "classic" else "q" for _, plan in broker.asked]
    assert "".join(types) == "cqqccq" * 2
    assert [plan.rate for _, plan in broker.asked] == [None] * 6 + [500.0] * 6
    assert len({name for name, _ in broker.asked}) == 12


def test_a_rate_that_is_given_is_the_only_one(a_run: MakeRun) -> None:
    broker = Broker(a_run)
    found = compare(Plan(rate=700), variants_of(["persistent", "transient"]), rounds=3, do=broker)
    assert {plan.rate for _, plan in broker.asked} == {700}
    assert [finding.what for finding in found.findings] == ["p99"]


def test_what_makes_it_unbelievable_is_said(a_run: MakeRun) -> None:
    broker = Broker(
        a_run,
        limit=lambda plan: "client" if plan.rate is None else "broker",
        lost=lambda plan: 3 if plan.queue_type == "quorum" else 0,
    )
    warnings = compare(FULL_SPEED, variants_of(["classic", "quorum"]), rounds=3, do=broker).warnings
    assert "the load generator was the limit of classic, quorum in 6 runs" in warnings[0]
    assert "NOT WHOLE: messages were lost or changed with quorum" in warnings[1]
    assert "too much for classic, quorum in 6 runs" in warnings[2]


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_makes_plans_at_full_speed_and_at_a_rate(question: str) -> None:
    variants = variants_of([question])
    assert len({variant.name for variant in variants}) == len(variants) >= 2
    for variant in variants:
        assert variant.of(FULL_SPEED) != variants[0].of(Plan(rate=10, seed=99))


def test_sets_are_read_as_the_plan_has_them() -> None:
    one, other = variants_of(["queue-type=quorum,prefetch=50,ack_every=10", "persistent=no,rate=max,duration=3"])
    assert one.changes == {"queue_type": "quorum", "prefetch": 50, "ack_every": 10}
    assert other.changes == {"persistent": False, "rate": None, "duration_s": 3.0}
    assert variants_of(list(CONFIGURATIONS))[0].name == "classic"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["sefety"], "choose from safety, classic-or-quorum"),
        (["classic", "quorom"], "is no configuration: choose from classic, quorum"),
        (["queue_type=lazy", "quorum"], "choose from classic, quorum, stream"),
        (["prefech=1", "prefetch=2"], "did you mean prefetch"),
        (["prefetch=many", "prefetch=2"], "give a number"),
        (["persistent=maybe", "classic"], "say yes or no"),
        (["classic", "classic"], "compared with itself"),
        (["classic,quorum=", "classic"], "not key=value|no 'quorum'"),
    ],
)
def test_what_cant_be_understood_is_explained(asked: list[str], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        variants_of(asked)


def test_a_variant_that_makes_no_plan_is_known_before_anything_runs(a_run: MakeRun) -> None:
    broker = Broker(a_run)
    with pytest.raises(PlanError, match="window=0: full speed without confirms"):
        compare(FULL_SPEED, variants_of(["window=300", "window=0"]), rounds=3, do=broker)
    assert broker.asked == []
