"""Schedules: every message has its moment, the rate follows the profile, and a seed repeats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loadtest.engine.schedule import Bursts, Constant, Profile, Ramp, Sine, Steps, replay, share, times

PROFILES = [
    Constant(1000),
    Steps([200, 1000, 400]),
    Ramp(0, 2000),
    Sine(mean=800, swing=0.7, period_s=2),
    Bursts(rate=300, size=250, every_s=1.5),
]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: type(profile).__name__)
def test_a_profile_is_kept_to_the_message(profile: Profile) -> None:
    moments = times(profile, duration_s=6)
    at_s, due = profile.cumulative(6)
    assert (np.diff(moments) >= 0).all()
    assert moments[0] >= 0
    assert moments[-1] <= 6e9
    assert len(moments) == int(np.ceil(due[-1] - 1e-9))
    # At any second as many were due as the integral of the rate says.
    for second in range(1, 6):
        wanted = np.interp(second + 1e-7, at_s, due)
        assert abs((moments <= second * 1e9).sum() - wanted) <= 1.5, second


def test_uniform_messages_are_evenly_spaced() -> None:
    assert times(Constant(4), duration_s=1).tolist() == [0, 250_000_000, 500_000_000, 750_000_000]


def test_a_burst_comes_at_once() -> None:
    moments = times(Bursts(rate=0, size=50, every_s=1), duration_s=2.5)
    assert sorted(set(moments.tolist())) == [1_000_000_000, 2_000_000_000]
    assert len(moments) == 100


def test_poisson_gaps_are_exponential() -> None:
    # Kolmogorov-Smirnov, one sample: below 1.63 / sqrt(n) in 99 of 100 cases; the seed makes it one case for ever.
    gaps = np.sort(np.diff(times(Constant(2000), duration_s=10, arrivals="poisson", seed=7)) / 1e9)
    wanted = 1 - np.exp(-2000 * gaps)
    found = np.arange(1, len(gaps) + 1) / len(gaps)
    assert np.abs(found - wanted).max() < 1.63 / np.sqrt(len(gaps))
    assert len(gaps) == pytest.approx(20_000, rel=0.03)


def test_the_seed_decides() -> None:
    one, same, other = (times(Constant(100), duration_s=3, arrivals="poisson", seed=seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert len(one) != len(other) or (one != other).any()


def test_producers_share_a_schedule_without_loss() -> None:
    moments = times(Constant(100), duration_s=1)
    parts = [share(moments, part=part, parts=3) for part in range(3)]
    assert sorted(np.concatenate(parts).tolist()) == moments.tolist()


def test_a_trace_is_replayed_from_its_first_moment(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    trace.write_text("10.5\n10.0\n12\n")
    assert replay(trace).tolist() == [0, 500_000_000, 2_000_000_000]


@pytest.mark.parametrize("text", ["", "1.0\nsoon\n", "nan\n", "inf\n"])
@pytest.mark.filterwarnings("ignore:loadtxt:UserWarning")
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str) -> None:
    trace = tmp_path / "trace.txt"
    trace.write_text(text)
    with pytest.raises(ValueError, match="is not a trace"):
        replay(trace)


def test_a_missing_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a trace"):
        replay(tmp_path / "none.txt")
