"""What Locust costs a Firehose run: the same load of the engine with Locust around it, and without, in turn."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

from benchmarks import engine
from benchmarks.report import Figure
from labs.settings import ROOT

_ROUNDS = 3


def firehose(*, quick: bool = False) -> list[Figure]:
    """Messages confirmed in the same time at full speed, first alone and then under Locust, several times."""
    seconds, rounds = (4.0, 1) if quick else (10.0, _ROUNDS)
    alone, under = [], []
    for _ in range(rounds):
        alone.append(engine.run(engine.plan(seconds=seconds)).integrity.confirmed / seconds)
        under.append(_under_locust(seconds) / seconds)
    costs = 1 - statistics.median(under) / statistics.median(alone)
    return [
        Figure("engine at full speed, alone", statistics.median(alone), "messages/s"),
        Figure("  the same as a Firehose under Locust", statistics.median(under), "messages/s"),
        Figure("  Locust costs", costs * 100, "%", at_most=3),
    ]


def _under_locust(seconds: float) -> int:
    """Messages that were confirmed, as Locust's own statistics have them."""
    load = ["--users", "1", "--rate", "max", "--duration", str(seconds), "--warm-up", str(seconds / 4)]
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest/locustfile.py"), "Firehose", *load]
    quietly = ["--headless", "--json", "--skip-log"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *quietly], check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"locust has failed:\n{done.stderr[-2000:]}")
    [confirmed] = [row["num_requests"] for row in json.loads(done.stdout) if row["method"] == "publish"]
    return int(confirmed)
