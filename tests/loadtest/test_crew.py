"""How many workers: the search finds the fewest that are enough, and the command answers it with runs that it keeps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labs.broker import VirtualHost
from labs.settings import ROOT
from loadtest.crew import Trial, counts_up_to, fewest, interleaved
from loadtest.intervals import mean_of
from loadtest.results import load_all


def enough_from(fewest_: int) -> Callable[[int], Trial]:
    def attempt(workers: int) -> Trial:
        passed = workers >= fewest_
        return Trial(workers, 40.0 if passed else 900.0, passed, "" if passed else "the backlog grew")

    return attempt


@pytest.mark.parametrize("start", [1, 6, 7, 8, 30])
def test_the_fewest_are_found_wherever_the_search_begins(start: int) -> None:
    found = fewest(enough_from(7), start=start, most=32, repeats=2)
    assert (found.enough, found.too_few, found.complete) == (7, 6, True)
    assert str(found) == "7 workers are enough (p99 40 ms at the most in 2 runs), 6 are not: the backlog grew"


def test_what_passes_once_alone_is_not_enough() -> None:
    tried: list[int] = []

    def attempt(workers: int) -> Trial:
        tried.append(workers)
        lucky = workers == 4 and tried.count(4) == 1
        return Trial(workers, 40.0, workers >= 5 or lucky, "" if workers >= 5 or lucky else "p99 was 300 ms")

    found = fewest(attempt, start=4, most=32, repeats=3)
    assert (found.enough, found.too_few) == (5, 4)


def test_no_number_may_be_enough_and_time_may_be_over() -> None:
    assert "with 8, the backlog grew" in str(fewest(enough_from(9), start=6, most=8, repeats=1))
    left = iter([True, True])
    found = fewest(enough_from(7), start=6, most=32, repeats=2, time_is_left=lambda: next(left, False))
    assert (found.enough, found.too_few, found.complete) == (None, 6, False)


def test_fewer_than_the_work_itself_takes_are_never_tried() -> None:
    found = fewest(enough_from(2), start=5, least=4, most=32, repeats=1)
    assert (found.enough, found.too_few) == (4, None)


def test_the_numbers_that_are_measured_reach_the_last_and_come_forwards_and_backwards() -> None:
    assert counts_up_to(3) == [1, 2, 3]
    assert counts_up_to(12) == [1, 2, 4, 8, 9, 12]
    assert list(interleaved([1, 2, 4], rounds=3)) == [1, 2, 4, 4, 2, 1, 1, 2, 4]


def test_a_mean_of_one_is_not_sure_at_all() -> None:
    assert mean_of([5.0]).high == float("inf")
    found = mean_of([1.0, 2.0, 3.0])
    assert found.high == pytest.approx(2 + 4.303 / 3**0.5)


def test_the_command_says_where_the_knee_is_and_how_many_are_needed(vhost: VirtualHost, tmp_path: Path) -> None:
    environment = {**os.environ, "LAB_AMQP_URL": vhost.amqp_url, "LAB_MANAGEMENT_URL": vhost.broker.management_url,
                   "PYTHONPATH": str(ROOT)}  # fmt: skip
    # Given work of 30 ms, two thirds of it under a lock: 50 messages a second at most, whatever the number of workers
    options = "--work-ms 30 --shared-ms 20 --up-to 3 --rounds 1 --step-seconds 2 --warmup 0.5 --json"
    search = "--for-rate 40 --objective-ms 5000 --hold-seconds 2 --repeats 1 --max-workers 4"
    command = [sys.executable, "-m", "loadtest", "workers", *options.split(), *search.split()]
    for attempt in range(3):  # a machine that is busy with everything else may disturb the run of one of them
        results = ["--results", str(tmp_path / str(attempt))]
        done = subprocess.run(
            [*command, *results], env=environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        told = json.loads(done.stdout)
        if told["law"]["knee"] is not None:
            break
    # Then more than that is never measured, the law bends, and each run is kept.
    assert list(told["per_s"]) == ["1", "2", "3"]
    assert all(value <= 52 for each in told["per_s"].values() for value in each["runs"])
    assert told["law"]["contention"] + told["law"]["coherence"] > 0.1
    assert told["law"]["knee"] is not None
    assert {trial["workers"] for trial in told["needed"]["trials"]} >= {told["needed"]["too_few"] or 1}
    runs = load_all(Path(told["folder"]))
    assert len(runs) == 3 + len(told["needed"]["trials"])
    assert all(run.integrity.is_whole for run in runs)
    assert "knee" in (Path(told["folder"]) / "report.html").read_text()
