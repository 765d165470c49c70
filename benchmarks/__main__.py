"""`python -m benchmarks [NAME ...] [--runs N]`: measure, print a table, write results/bench.json."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import service
from benchmarks.report import machine, median, save, show
from labs.broker import resolve
from labs.settings import load_settings

MEASUREMENTS = {
    "slow-model": service.slow_model,
    "throughput": service.throughput,
    "post-latency": service.post_latency,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the median counts (default 3)")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MEASUREMENTS)
    if unknown or arguments.runs < 1:
        parser.error(f"unknown: {', '.join(sorted(unknown))}" if unknown else "--runs must be at least 1")
    console = Console()
    on = machine(resolve(load_settings()).version)
    runs = {}
    for name in arguments.names or MEASUREMENTS:
        runs[name] = []
        for number in range(arguments.runs):
            console.print(f"{name}, run {number + 1} of {arguments.runs}")
            runs[name].append(MEASUREMENTS[name]())
    figures = [figure for each in runs.values() for figure in median(each)]
    show(console, figures, on=on)
    save(Path("results/bench.json"), runs, on=on)
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
