"""What the guided run has found: a table, two charts, and tables for pandas with a column `scenario`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
from matplotlib.axes import Axes
from rich.table import Table

from labs.display.chart import Chart, figure, finished
from labs.display.palette import BLUE, FAINT, GREY, VERMILION
from loadtest.engine.verdict import NAMES
from loadtest.place import Place
from loadtest.results import Pending
from loadtest.results.frames import latency_frame
from loadtest.results.manifest import machine, versions
from loadtest.results.plots import plot_latencies
from loadtest.results.words import shown_ms
from loadtest.standing import Standing


@dataclass(frozen=True)
class Outcome:
    """One scenario's.

    Args:
        standing: its end.
        series: moments in seconds since the epoch, with rates and backlog.
        requests, failures: of Locust's.
        seconds: of load.
        exit_code: of Locust.
    """

    scenario: str
    standing: Standing
    series: list[dict[str, Any]]
    requests: int
    failures: int
    seconds: float
    exit_code: int

    @classmethod
    def of(cls, scenario: str, board: dict[str, Any], *, seconds: float, exit_code: int) -> Self:
        """What Locust has written at its end."""
        return cls(
            scenario=scenario,
            standing=Standing.heard(board["scenarios"][scenario]),
            series=board["series"],
            requests=sum(row["requests"] for row in board["rows"]),
            failures=sum(row["failures"] for row in board["rows"]),
            seconds=seconds,
            exit_code=exit_code,
        )

    def per_s(self, name: str) -> float:
        """Of a count, over the load."""
        return self.standing.counts[name] / self.seconds

    def quantile_ms(self, share: float) -> float:
        """From the intended time to the end."""
        return self.standing.latencies["from_intended"].quantile_ms(share)


def table(outcomes: Sequence[Outcome], *, on: str) -> Table:
    """For the terminal."""
    made = Table(title=f"every scenario on {on}", title_justify="left", caption_justify="left")
    made.caption = "p50, p99, max: ms from the moment at which a message was meant to go until all of it was done"
    made.add_column("scenario")
    for name in ("offered/s", "achieved/s", "requests", "failed", "p50", "p99", "max"):
        made.add_column(name, justify="right")
    made.add_column("limited by")
    for each in outcomes:
        rates = [f"{each.per_s(name):,.1f}" for name in ("due", "sent")]
        latencies = [shown_ms(each.quantile_ms(share)) for share in (0.5, 0.99, 1)]
        bound = NAMES[each.standing.limit[0]]
        made.add_row(each.scenario, *rates, f"{each.requests:,}", f"{each.failures:,}", *latencies, bound)
    return made


def limited_by(outcomes: Sequence[Outcome]) -> str:
    """One line: what limited all of it."""
    others = [each for each in outcomes if each.standing.limit[0] != "rate"]
    if not others:
        return "limited by: the rates asked for, in every scenario; the broker has room for more"
    first = others[0]
    bound = ", ".join(f"{each.scenario} {NAMES[each.standing.limit[0]]}" for each in others)
    return f"limited by: {bound} ({first.scenario}: {first.standing.limit[1]})"


def keep(pending: Pending, outcomes: Sequence[Outcome], *, where: Place, is_partial: bool) -> None:
    """Write everything into the folder of the run."""
    latencies = {each.scenario: each.standing.latencies for each in outcomes}
    frames = [latency_frame(each).assign(scenario=name) for name, each in latencies.items()]
    pd.concat(frames, ignore_index=True).to_parquet(pending.path / "latency.parquet")
    rows = [_row(each.scenario, moment) for each in outcomes for moment in each.series]
    pd.DataFrame(rows).to_parquet(pending.path / "series.parquet")
    from_intended = {name: each["from_intended"] for name, each in latencies.items()}
    plot_latencies(from_intended, title="Latency of each scenario, from the intended time").save(
        pending.path / "latency.png"
    )
    timeline(outcomes).save(pending.path / "timeline.png")
    facts = {
        "partial": is_partial,
        "versions": versions(where),
        "machine": machine(),
        "limited_by": limited_by(outcomes),
        "scenarios": [_facts(each) for each in outcomes],
    }
    pending.add_text("manifest.json", json.dumps(facts, indent=2))


def _row(scenario: str, moment: dict[str, Any]) -> dict[str, Any]:
    per_s = {f"{name}_per_s": value for name, value in moment["per_s"].items()}
    return {"scenario": scenario, "at_s": moment["at_s"], **moment["counts"], **per_s, "backlog": moment["backlog"]}


def _facts(outcome: Outcome) -> dict[str, Any]:
    by, why = outcome.standing.limit
    return {
        "scenario": outcome.scenario,
        **outcome.standing.counts,
        "requests": outcome.requests,
        "failures": outcome.failures,
        "seconds": outcome.seconds,
        "limited_by": by,
        "why": why,
    }


def timeline(outcomes: Sequence[Outcome]) -> Chart:
    """Rates and backlog over the whole run, scenario after scenario."""
    zero_s = min((moment["at_s"] for each in outcomes for moment in each.series), default=0.0)
    with figure(5.2, title="Offered and achieved, and what was under way", nrows=2, sharex=True) as (drawn, axes):
        rates, backlog = axes
        for each in outcomes:
            _draw(rates, backlog, each, zero_s=zero_s)
        rates.set_yscale("log")
        rates.set_ylabel("messages/s, logarithmic")
        rates.margins(y=0.25)
        rates.legend(*_legend(rates), loc="upper center", ncols=2)
        backlog.set_ylabel("backlog, messages")
        backlog.set_xlabel("seconds since the first scenario")
        backlog.set_ylim(bottom=0)
        return finished(drawn, "; ".join(f"{each.scenario} {each.per_s('sent'):,.0f}/s" for each in outcomes))


def _draw(rates: Axes, backlog: Axes, outcome: Outcome, *, zero_s: float) -> None:
    """One scenario, from the first moment at which a rate is known."""
    moments = [moment for moment in outcome.series if moment["per_s"]["due"] > 0]
    if not moments:
        return
    at_s = [moment["at_s"] - zero_s for moment in moments]
    offered, achieved = ([moment["per_s"][name] for moment in moments] for name in ("due", "sent"))
    rates.plot(at_s, offered, color=GREY, linestyle="--", label="offered")
    rates.plot(at_s, achieved, color=BLUE, label="achieved")
    backlog.plot(at_s, [moment["backlog"] for moment in moments], color=VERMILION)
    above: dict[str, Any] = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center"}
    middle = ((at_s[0] + at_s[-1]) / 2, max(achieved))
    rates.annotate(outcome.scenario, middle, **above, fontsize=8, color=FAINT)


def _legend(axes: Axes) -> tuple[list[Any], list[str]]:
    """Each name once."""
    found = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return list(found.values()), list(found)
