import statistics
from collections import Counter

import pytest
from pydantic import ValidationError

from labs.llm.dials import Constant, Dials, Dice, ErrorRates, Exponential, Fault, Latency, LogNormal, Uniform


def throws(dials: Dials, count: int) -> list[tuple[float, Fault | None]]:
    dice = Dice(dials)
    return [dice.throw() for _ in range(count)]


def test_the_same_seed_gives_the_same_calls_and_another_seed_others() -> None:
    dials = Dials(errors=ErrorRates(reset=0.3, garbage=0.2), seed=5)
    assert throws(dials, 200) == throws(dials, 200)
    assert throws(dials, 200) != throws(dials.model_copy(update={"seed": 6}), 200)


def test_the_faults_do_not_move_when_only_the_latency_changes() -> None:
    errors = ErrorRates(reset=0.3, empty=0.2)
    kinds: list[Latency] = [
        Constant(ms=1), Uniform(min_ms=1, max_ms=9), LogNormal(median_ms=5, sigma=1), Exponential(mean_ms=5),
    ]  # fmt: skip
    faults = [[fault for _, fault in throws(Dials(latency=kind, errors=errors), 100)] for kind in kinds]
    assert faults[0] == faults[1] == faults[2] == faults[3]


def test_faults_come_at_their_rates() -> None:
    errors = ErrorRates(rate_limit=0.1, server_error=0.05, reset=0.2)
    counts = Counter(fault for _, fault in throws(Dials(errors=errors), 20_000))
    assert counts[Fault.RATE_LIMIT] == pytest.approx(2000, rel=0.1)
    assert counts[Fault.SERVER_ERROR] == pytest.approx(1000, rel=0.1)
    assert counts[Fault.RESET] == pytest.approx(4000, rel=0.1)
    assert counts[None] == 20_000 - sum(count for fault, count in counts.items() if fault)


def test_rates_that_add_up_to_one_leave_no_good_call() -> None:
    errors = ErrorRates(**dict.fromkeys(Fault, 1 / len(Fault)))
    assert {fault for _, fault in throws(Dials(errors=errors), 5000)} == set(Fault)


@pytest.mark.parametrize(
    ("latency", "median_ms", "mean_ms"),
    [
        (Constant(ms=70), 70, 70),
        (Uniform(min_ms=50, max_ms=150), 100, 100),
        (LogNormal(median_ms=800, sigma=0.5), 800, 906.5),
        (Exponential(mean_ms=200), 138.6, 200),
    ],
)
def test_latencies_have_their_distribution(latency: Latency, median_ms: float, mean_ms: float) -> None:
    sample = [latency_ms for latency_ms, _ in throws(Dials(latency=latency), 20_000)]
    assert statistics.median(sample) == pytest.approx(median_ms, rel=0.05)
    assert statistics.fmean(sample) == pytest.approx(mean_ms, rel=0.05)
    assert min(sample) >= 0


def test_impossible_dials_are_refused() -> None:
    with pytest.raises(ValidationError, match="more than 1"):
        ErrorRates(reset=0.6, empty=0.6)
    with pytest.raises(ValidationError, match="min_ms"):
        Uniform(min_ms=2, max_ms=1)
    with pytest.raises(ValidationError, match="finite"):
        Constant(ms=float("nan"))
