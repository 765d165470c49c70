"""The arithmetic behind published figures: held against what one gets by trying it out."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.engine_schedule import exponential_fit, paused_ms


@pytest.mark.parametrize("quantile", [0.9, 0.99, 0.999])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_paused_broker_gives_the_latencies_that_arithmetic_says(quantile: float, share: float) -> None:
    # Given a queue that is served at 1,000 a second, but not from second 4 to second 5
    rate, load_s = 1000 * share, 10.0
    intended_s = np.arange(0, load_s, 1 / rate)
    arrived_s, free_s = [], 0.0
    for moment_s in intended_s:
        begins_s = max(moment_s, free_s)
        begins_s = 5.0 if 4.0 <= begins_s < 5.0 else begins_s
        free_s = begins_s + 0.001
        arrived_s.append(free_s)
    simulated_ms = np.quantile(np.array(arrived_s) - intended_s, quantile) * 1000
    assert paused_ms(quantile, pause_s=1.0, load_s=load_s, share=share) == pytest.approx(simulated_ms, abs=6)


def test_gaps_of_a_poisson_process_are_told_from_even_ones_and_from_another_rate() -> None:
    random = np.random.default_rng(5)
    gaps = random.exponential(1 / 100, 3000)
    assert exponential_fit(gaps, rate=100)[1] > 0.05
    assert exponential_fit(gaps, rate=110)[1] < 0.001
    assert exponential_fit(np.full(3000, 1 / 100), rate=100)[1] < 0.001
