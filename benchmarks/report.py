"""Figures with their goals, the machine they were measured on, and a file of them."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

_LIBRARIES = ("pika", "aio-pika", "numpy", "locust", "psycopg", "fastapi", "uvicorn", "openai", "uvloop")


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
    def measured(self) -> str:
        """The value with as many digits as it is worth, and its unit."""
        digits = 0 if abs(self.value) >= 1000 else 1 if abs(self.value) >= 100 else 2
        return f"{self.value:,.{digits}f} {self.unit}".strip()

    @property
    def reached(self) -> bool:
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


def median(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """The median of each figure over several runs of the same measurement."""
    return [
        Figure(
            first.what, statistics.median(figure.value for figure in same), first.unit, first.at_least, first.at_most
        )
        for same in zip(*runs, strict=True)
        for first in same[:1]
    ]


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
        verdict = "" if not figure.goal else "[green]ok[/green]" if figure.reached else "[red]missed[/red]"
        table.add_row(figure.what, figure.measured, figure.goal, verdict)
    console.print(table)


def save(path: Path, runs: Mapping[str, Sequence[Sequence[Figure]]], *, on: dict[str, str]) -> None:
    """Write every run's figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = {name: [[asdict(figure) for figure in run] for run in each] for name, each in runs.items()}
    path.write_text(json.dumps({"machine": on, "runs": raw}, indent=2))


def document(
    path: Path, figures: Mapping[str, Sequence[Figure]], methods: Mapping[str, str], *, on: dict[str, str]
) -> None:
    """Write a page of the figures, with how each group of them was measured."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `python -m benchmarks --document {path}`. Medians; raw figures: `results/bench.json`.",
        "",
    ]
    lines += ["Measured on: " + ", ".join(f"{name} {value}" for name, value in on.items()) + "."]
    for name, group in figures.items():
        lines += ["", f"## {name}", "", methods[name], "", "| what | measured | goal | |", "|---|--:|---|---|"]
        for figure in group:
            verdict = "" if not figure.goal else "ok" if figure.reached else "missed"
            lines.append(f"| {figure.what.strip()} | {figure.measured} | {figure.goal} | {verdict} |")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
