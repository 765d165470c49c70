"""A picture of a search for a capacity: what every step took, and where the knee is."""

from __future__ import annotations

import math

from labs.display.chart import MARKERS, Chart, figure, finished
from labs.display.palette import GREEN, GREY, INK, VERMILION
from loadtest.capacity import Capacity
from loadtest.results.words import folded


def _short(value: float, _: object) -> str:
    """Of a logarithmic axis 1, 2 and 5 of each power of ten have a word: enough to read by, and room for each."""
    return f"{value:,g}" if f"{value:.0e}"[0] in "125" else ""


def plot_capacity(found: Capacity, *, objective_ms: float) -> Chart:
    """The 99th percentile of every step over its rate, the objective, and the interval that was found."""
    with figure(4.0, title=folded(f"Capacity: {found}")) as (drawn, axes):
        for number, (passed, label, colour) in enumerate(((True, "passed", GREEN), (False, "failed", VERMILION))):
            steps = [step for step in found.steps if step.passed is passed and math.isfinite(step.p99_ms)]
            axes.plot(
                [step.rate for step in steps], [step.p99_ms for step in steps], MARKERS[number], color=colour,
                markersize=7, alpha=0.8, label=label,
            )  # fmt: skip
        axes.axhline(objective_ms, color=INK, linestyle="--", linewidth=1, label=f"objective, {objective_ms:g} ms")
        if found.low is not None and found.high is not None:
            axes.axvspan(found.low, found.high, color=GREY, alpha=0.25, linewidth=0, label="the capacity is in here")
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_short)
            axis.set_minor_formatter(_short)
        axes.set_xlabel("messages per second that were offered, logarithmic")
        axes.set_ylabel("p99 in ms, logarithmic")
        drawn.legend(loc="outside lower left", ncols=4)
        words = [f"{step.phase} {step.rate:,.0f}/s: {step.why or 'passed'}" for step in found.steps]
        return finished(drawn, "\n".join([f"Capacity: {found}", *words]))
