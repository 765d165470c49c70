"""A picture of what each number of workers can do: every run, the law through them, and what it would be if all were
free of one another."""

from __future__ import annotations

import numpy as np

from labs.display.chart import MARKERS, Chart, figure, finished
from labs.display.palette import BLUE, GREY, INK, ORANGE, VERMILION
from loadtest.results.words import folded
from loadtest.usl import Fit


def plot_workers(found: Fit, *, title: str, wanted_per_s: float | None = None, ceiling_per_s: float | None = None
                 ) -> Chart:  # fmt: skip
    """Every run as a dot, the fitted law with its band, the straight line of no loss, and the knee.

    Args:
        wanted_per_s: a rate to mark.
        ceiling_per_s: what something shared allows at most, if that is known.
    """
    counts = np.linspace(1, found.most, 60)
    bands = [found.at(float(count)) for count in counts]
    with figure(4.0, title=folded(title)) as (drawn, axes):
        axes.plot([0, found.most], [0, found.curve.one * found.most], ":", color=GREY, label="no loss at all")
        axes.fill_between(counts, *zip(*bands, strict=True), color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(counts, [found.curve.at(float(count)) for count in counts], color=BLUE, label="the law, and its 95 %")
        runs = [(workers, value) for workers, values in found.points.items() for value in values]
        axes.plot(*zip(*runs, strict=True), MARKERS[0], color=INK, markersize=5, alpha=0.7, label="a measurement")
        for level, label, colour in (
            (ceiling_per_s, "what is shared allows", VERMILION),
            (wanted_per_s, "wanted", ORANGE),
        ):
            if level is not None:
                axes.axhline(level, color=colour, linestyle="--", linewidth=1.2, label=f"{label}, {level:,.0f}/s")
        if found.knee is not None:
            axes.axvspan(*_widened(found.knee), color=ORANGE, alpha=0.15, linewidth=0, label="the knee is in here")
        axes.set_xlim(0, found.most * 1.03)
        axes.set_ylim(0, 1.15 * max([value for _, value in runs] + [ceiling_per_s or 0, wanted_per_s or 0]))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.set_xlabel("workers")
        axes.set_ylabel("messages per second")
        drawn.legend(loc="outside lower left", ncols=3)
        return finished(drawn, "\n".join([title, *in_words(found)]))


def _widened(knee: tuple[int, int]) -> tuple[float, float]:
    return knee[0] - 0.15, knee[1] + 0.15


def in_words(found: Fit) -> list[str]:
    """What the law says, line by line."""
    curve = found.curve
    lines = [
        f"one worker alone: {curve.one:,.1f} messages/s ({_span(found.interval('one'), '.1f')})",
        f"contention sigma: {curve.contention:.3f} ({_span(found.interval('contention'), '.3f')}), "
        f"coherence kappa: {curve.coherence:.4f} ({_span(found.interval('coherence'), '.4f')})",
    ]
    if found.knee is None:
        knee = f"knee: none up to {found.most} workers: each brings at least half of what the first one does"
    else:
        low, high = found.knee
        among = f"{low}" if low == high else f"{low} to {high}"
        knee = f"knee: {among} workers: beyond, a further one brings less than half of what the first one does"
    return [*lines, knee]


def _span(interval: tuple[float, float], form: str) -> str:
    return f"{interval[0]:{form}} to {interval[1]:{form}}"
