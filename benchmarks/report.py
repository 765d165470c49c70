"""Figures with their goals, the machine they were measured on, and a file of them."""

from __future__ import annotations

import json
import math
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

_LIBRARIES = ("pika", "aio-pika", "numpy", "locust", "psycopg", "fastapi", "uvicorn", "openai", "uvloop")


#: The value of a figure that could not be measured.
NOT_MEASURED = math.nan


@dataclass(frozen=True)
class Figure:
    """One measured number, and what it should at least or at most be."""

    what: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def goal(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return f"<= {self.at_most:g}" if self.at_most is not None else ""

    @property
    def number(self) -> str:
        """The value with as many digits as it is worth."""
        if math.isnan(self.value):
            return "not measured"
        digits = 0 if abs(self.value) >= 1000 else 1 if abs(self.value) >= 100 else 2
        return f"{self.value:,.{digits}f}"

    @property
    def measured(self) -> str:
        """That, and its unit."""
        return self.number if math.isnan(self.value) else f"{self.number} {self.unit}".strip()

    @property
    def verdict(self) -> str:
        """`ok` or `missed`; empty without a goal, or if nothing was measured."""
        if not self.goal or math.isnan(self.value):
            return ""
        least = -math.inf if self.at_least is None else self.at_least
        most = math.inf if self.at_most is None else self.at_most
        return "ok" if least <= self.value <= most else "missed"


def median(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """The median of each figure over several runs of the same measurement, of those that were measured."""
    return [
        replace(same[0], value=_median([figure.value for figure in same if not math.isnan(figure.value)]))
        for same in zip(*runs, strict=True)
    ]


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else NOT_MEASURED


def machine(broker_version: str | None) -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "rabbitmq": broker_version or "unknown",
        **{name: version(name) for name in _LIBRARIES},
    }


def show(console: Console, figures: Iterable[Figure], *, on: dict[str, str]) -> None:
    """Print the figures."""
    console.print(", ".join(f"{name} {value}" for name, value in on.items()))
    table = Table("what", "measured", "goal", "")
    for figure in figures:
        colour = {"ok": "green", "missed": "red"}.get(figure.verdict, "none")
        table.add_row(figure.what, figure.measured, figure.goal, Text(figure.verdict, style=colour))
    console.print(table)


def save(path: Path, runs: Mapping[str, Sequence[Sequence[Figure]]], *, on: dict[str, str]) -> None:
    """Write every run's figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = {name: [[asdict(figure) for figure in run] for run in each] for name, each in runs.items()}
    path.write_text(json.dumps({"machine": on, "runs": raw}, indent=2))


def document(
    path: Path,
    runs: Mapping[str, Sequence[Sequence[Figure]]],
    methods: Mapping[str, str],
    *,
    on: dict[str, str],
    command: str,
) -> None:
    """Write a page of the figures, with how each group of them was measured, and the samples of each run.

    Args:
        methods: how they were measured, by the same names as the runs.
        command: the command line.
    """
    lines = ["# Benchmarks", "", "Written by:", "", f"    {command}", ""]
    lines += ["Measured on: " + ", ".join(f"{name} {value}" for name, value in on.items()) + "."]
    for name, each in runs.items():
        lines += ["", f"## {name}", "", methods[name], ""]
        lines += ["| what | median | range | goal | | each run |", "|---|--:|--:|---|---|---|"]
        lines += [_row(figure, samples) for figure, *samples in zip(median(each), *each, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def _row(figure: Figure, samples: Sequence[Figure]) -> str:
    """One figure: its median, from its least to its most, its goal, and every run of it in order."""
    measured = sorted((each for each in samples if not math.isnan(each.value)), key=lambda each: each.value)
    span = f"{measured[0].number} to {measured[-1].number}" if len(measured) > 1 else ""
    shown = ", ".join(each.number for each in samples)
    cells = (figure.what.strip(), figure.measured, span, figure.goal, figure.verdict, shown)
    return f"| {' | '.join(cells)} |"
