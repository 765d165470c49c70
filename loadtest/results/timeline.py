"""A picture of one run over its seconds: what was offered and what came, what waited, how long, and who was busy."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from labs.display.chart import Chart, figure, finished, in_short
from labs.display.palette import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, VERMILION
from loadtest.results.run import Run
from loadtest.results.words import folded

_RATES = {
    "offered_per_s": ("offered", GREY, "--"),
    "sent_per_s": ("sent", BLUE, "-"),
    "confirmed_per_s": ("confirmed", ORANGE, "-."),
    "received_per_s": ("received", GREEN, ":"),
}
#: Below so little no clock of ours sees anything.
_LEAST_MS = 1e-3


def plot_timeline(run: Run, *, title: str | None = None) -> Chart:
    """One run over its seconds: rates, backlog, latency, and how busy the generator and the broker were."""
    title = title or f"{run.name}: {run.verdict['limit']['text']}"
    with figure(7.4, title=folded(title), nrows=4, sharex=True, height_ratios=[2, 1, 1, 1]) as (drawn, axes):
        rates, backlog, latency, busy = axes
        _draw_rates(rates, run)
        _draw_backlog(backlog, run)
        _draw_latency_over_time(latency, run)
        _draw_busy(busy, run)
        warmup_s = float(run.manifest["arguments"]["warmup_s"])
        for each in axes:
            each.axvspan(0, warmup_s, color=GREY, alpha=0.12, linewidth=0)
        if warmup_s:
            backlog.annotate("warm-up", (0, 1), xycoords=("data", "axes fraction"), xytext=(3, -3), va="top",
                             textcoords="offset points", fontsize=8, color=FAINT)  # fmt: skip
        busy.set_xlabel("seconds since the start")
        return finished(drawn, _timeline_in_words(run, title))


def _middles(run: Run) -> NDArray[np.float64]:
    """Rates are those of a stretch, and stand in its middle."""
    return np.asarray(run.series["second"] + run.series["length_s"] / 2, np.float64)


def _ends(run: Run) -> NDArray[np.float64]:
    return np.asarray(run.series["second"] + run.series["length_s"], np.float64)


def _draw_rates(axes: Axes, run: Run) -> None:
    for column, (label, colour, dashes) in _RATES.items():
        axes.plot(_middles(run), run.series[column], linestyle=dashes, color=colour, linewidth=1.8, label=label)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    _name(axes, "messages per second", legend=True)


def _draw_backlog(axes: Axes, run: Run) -> None:
    axes.plot(
        _ends(run),
        run.series["backlog"],
        color=PURPLE,
        label="sent, not yet received",
    )
    if len(run.broker):
        during = run.broker[run.broker["at_s"] >= 0]
        held = during["messages_ready"] + during["messages_unacknowledged"]
        axes.plot(during["at_s"], held, "s", color=INK, markersize=3.5, label="held, says the broker")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    _name(axes, "messages on their way", legend=bool(len(run.broker)))


def _draw_latency_over_time(axes: Axes, run: Run) -> None:
    for column, dashes, colour in (("p99_ms", "-", VERMILION), ("p50_ms", "--", BLUE)):
        known = run.series[column].notna()
        axes.plot(_middles(run)[known], run.series[column][known], dashes, color=colour, label=column[:3])
    if run.series["p50_ms"].notna().any():
        _whole_decades(axes, run.series[["p50_ms", "p99_ms"]].to_numpy(float))
    _name(axes, "ms from the intended time, logarithmic", legend=True)


def _whole_decades(axes: Axes, values: NDArray[np.float64]) -> None:
    """A logarithmic axis on which there are always two powers of ten to read by."""
    finite = np.log10(np.maximum(values[np.isfinite(values)], _LEAST_MS))
    axes.set_yscale("log")
    axes.set_ylim(10 ** np.floor(finite.min() - 0.05), 10 ** np.ceil(finite.max() + 0.05))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_busy(axes: Axes, run: Run) -> None:
    for column, label, colour, dashes in (
        ("producer_busy", "busiest producer", BLUE, "-"),
        ("consumer_busy", "busiest consumer", GREEN, "--"),
    ):
        axes.plot(_ends(run), run.series[column], dashes, color=colour, label=label)
    if len(run.broker) and run.broker["cpu_cores"].notna().any():
        during = run.broker[(run.broker["at_s"] >= 0) & run.broker["cpu_cores"].notna()]
        axes.plot(during["at_s"], during["cpu_cores"], "-.", color=VERMILION, label="broker")
    axes.set_ylim(bottom=0)
    _name(axes, "cores used", legend=True)


def _name(axes: Axes, what: str, *, legend: bool) -> None:
    axes.set_title(what, loc="left", fontsize=9, color=INK)
    if legend:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=8, borderaxespad=0.1)


def _timeline_in_words(run: Run, title: str) -> str:
    lines = [title]
    for column, (label, _, _) in _RATES.items():
        values = run.series.loc[run.series["phase"] == "load", column]
        if len(values):
            lines.append(f"{label}: median {in_short(float(values.median()))} messages per second")
    most = float(run.series["backlog"].max()) if len(run.series) else 0.0
    return "\n".join([*lines, f"backlog: most {in_short(most)} messages"])
