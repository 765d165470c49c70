"""The arithmetic behind published figures, held against what one gets by trying it out, and how they are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import workers
from benchmarks.engine_schedule import exponential_fit, paused_ms
from benchmarks.peers import environment
from benchmarks.peers.contender import Timed
from benchmarks.report import NOT_MEASURED, Figure, document, median
from labs.settings import Settings


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


def test_a_median_is_of_what_was_measured_and_what_was_not_is_neither_reached_nor_missed() -> None:
    runs = [[Figure("ratio", value, "times", at_least=2.5)] for value in (2.0, NOT_MEASURED, 3.0, 4.0)]
    [figure] = median(runs)
    assert (figure.value, figure.measured, figure.verdict) == (3.0, "3.00 times", "ok")
    [nothing] = median(runs[1:2])
    assert (nothing.measured, nothing.verdict) == ("not measured", "")
    assert median(runs[:1])[0].verdict == "missed"


def test_a_page_shows_how_it_was_measured_and_each_run(tmp_path: Path) -> None:
    runs = {"one": [[Figure("speed", value, "jobs/s", at_most=5)] for value in (3.0, 1.0, NOT_MEASURED)]}
    document(tmp_path / "page.md", runs, {"one": "By hand."}, on={"cores": "2"}, command="python -m it --runs 3")
    page = (tmp_path / "page.md").read_text()
    assert "By hand." in page
    assert "    python -m it --runs 3\n" in page
    assert "Measured on: cores 2." in page
    assert "| speed | 2.00 jobs/s | 1.00 to 3.00 | <= 5 | ok | 3.00, 1.00, not measured |" in page


def test_ours_is_held_against_the_fastest_peer_of_the_round() -> None:
    ours, slow, fast = (Timed(jobs=100, wall_s=wall_s, cpu_s=0.001) for wall_s in (1.0, 8.0, 4.0))
    assert workers.figures(ours, {"A": slow, "B": fast, "C": None})[-1].value == pytest.approx(4.0)
    # Without peers there is nothing to compare with, and as many figures.
    alone = workers.figures(ours, {"A": None, "B": None, "C": None})
    assert (len(alone), alone[-1].verdict) == (9, "")
    assert ours.cpu_us == pytest.approx(10.0)


def test_peers_that_can_not_be_installed_are_told_of_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("celery==5.7.0\n")
    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path / "requirements.txt")
    monkeypatch.setattr(environment, "load_settings", lambda: Settings.model_construct(home=tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(environment.PeersMissing, match="can't be installed") as failed:
        environment.environment()
    assert "\n" not in str(failed.value)
    # And what is not whole is not taken for installed.
    with pytest.raises(environment.PeersMissing):
        environment.environment()
