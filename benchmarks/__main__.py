"""`python -m benchmarks [NAME ...] [--runs N]`: measure, print a table, write results/bench.json."""

from __future__ import annotations

import argparse
import functools
import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import checker, engine, engine_limit, engine_locust, engine_schedule, letters, service, workers
from benchmarks.report import Figure, document, machine, median, save, show
from labs.broker import resolve
from labs.settings import load_settings

_RESULTS = Path("results/bench.json")
#: Those that `--quick` shortens.
QUICK: dict[str, Callable[..., list[Figure]]] = {
    "engine-clients": engine.clients,
    "engine-limit": engine_limit.share_of_limit,
    "engine-pause": engine_schedule.pause,
    "engine-schedule": engine_schedule.schedule,
    "engine-firehose": engine_locust.firehose,
    "workers": workers.workers,
    "letters": letters.letters,
    "checker": checker.checker,
}
MEASUREMENTS: dict[str, Callable[..., list[Figure]]] = {
    "slow-model": service.slow_model,
    "throughput": service.throughput,
    "post-latency": service.post_latency,
    **QUICK,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the median counts (default 3)")
    parser.add_argument("--quick", action="store_true", help="shorter runs of some: to see that they work")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write a page of it, too")
    return parser


def main() -> int:
    """Measure what is named."""
    parser = _parser()
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MEASUREMENTS)
    if unknown or arguments.runs < 1:
        parser.error(f"unknown: {', '.join(sorted(unknown))}" if unknown else "--runs must be at least 1")
    names = arguments.names or list(MEASUREMENTS)
    on = machine(resolve(load_settings()).version)
    runs = measure(names, count=arguments.runs, quick=arguments.quick)
    every = [figure for each in runs.values() for figure in median(each)]
    show(Console(), every, on=on)
    save(_RESULTS, runs, on=on)
    if arguments.document:
        command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
        document(arguments.document, runs, {name: _method(name) for name in names}, on=on, command=command)
    return 0 if all(figure.verdict != "missed" for figure in every) else 1


def _method(name: str) -> str:
    """How something is measured, in the words of its module and its function."""
    function = MEASUREMENTS[name]
    return "\n\n".join(filter(None, (inspect.getdoc(inspect.getmodule(function)), inspect.getdoc(function))))


def measure(names: list[str], *, count: int, quick: bool) -> dict[str, list[list[Figure]]]:
    """Each measurement so many times; one round after the other, so that a busy minute doesn't hit one alone.

    After Ctrl-C the rounds that were whole by then count, if there are any.
    """
    runs: dict[str, list[list[Figure]]] = {name: [] for name in names}
    try:
        for number in range(count):
            whole: dict[str, list[Figure]] = {}
            for name in names:
                Console().print(f"{name}, run {number + 1} of {count}")
                once = functools.partial(MEASUREMENTS[name], quick=quick) if name in QUICK else MEASUREMENTS[name]
                whole[name] = once()
            for name, figures in whole.items():
                runs[name].append(figures)
    except KeyboardInterrupt:
        if not all(runs.values()):
            raise
        Console().print("interrupted: the whole rounds before count")
    return runs


if __name__ == "__main__":
    sys.exit(main())
