"""Pictures of runs in the house's style: what was offered and what came, how long it took, and who is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from labs.display.chart import MARKERS, Chart, figure, finished, in_short
from labs.display.palette import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, SERIES, VERMILION
from loadtest.engine.histogram import Histogram
from loadtest.results.run import Run

_RATES = {
    "offered_per_s": ("offered", GREY, "--"),
    "sent_per_s": ("sent", BLUE, "-"),
    "confirmed_per_s": ("confirmed", ORANGE, "-."),
    "received_per_s": ("received", GREEN, ":"),
}
_LATENCIES = {
    "from_intended": ("from the intended time", VERMILION, "-"),
    "from_sent": ("from sending", BLUE, "-."),
    "confirm": ("confirm", GREEN, "--"),
    "send_delay": ("send delay", GREY, ":"),
}
_DASHES = ("-", "-.", "--", ":")
#: Where a distribution is read; the axis gives every further nine the same room.
QUANTILES = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999)
_TICKS = {0.0: "least", 0.5: "50 %", 0.9: "90 %", 0.99: "99 %", 0.999: "99.9 %", 0.9999: "99.99 %"}
#: Below so little no clock of ours sees anything.
_LEAST_MS = 1e-3


def plot_timeline(run: Run, *, title: str | None = None) -> Chart:
    """One run over its seconds: rates, backlog, latency, and how busy the generator and the broker were."""
    title = title or f"{run.name}: {run.verdict['limit']['text']}"
    with figure(7.4, title=_folded(title), nrows=4, sharex=True, height_ratios=[2, 1, 1, 1]) as (drawn, axes):
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


def plot_latency(*runs: Run, title: str | None = None) -> Chart:
    """Latencies to the 99.99th percentile: all four of one run, or those from the intended time of several."""
    if len(runs) == 1:
        found = {label: (runs[0].histograms[name], _censored(runs[0], name)) for name, (label, _, _) in
                 _LATENCIES.items()}  # fmt: skip
        styles = [(colour, dashes) for _, colour, dashes in _LATENCIES.values()]
        title = title or f"{runs[0].name}: how long messages took"
    else:
        found = {_unique(run, runs): (run.histograms["from_intended"], _censored(run, "from_intended")) for run in runs}
        styles = [(SERIES[n % len(SERIES)], _DASHES[n % len(_DASHES)]) for n in range(len(runs))]
        title = title or "From the intended time to the consumer"
    return _latency_chart(found, styles, title)


def _censored(run: Run, name: str) -> int:
    return int(run.verdict["censored"]) if name in ("from_intended", "from_sent") else 0


def _unique(run: Run, runs: Sequence[Run]) -> str:
    same = [each for each in runs if each.name == run.name]
    return run.name if len(same) == 1 else f"{run.name} {run.manifest['started'][11:19]}"


def plot_latencies(histograms: Mapping[str, Histogram], *, title: str) -> Chart:
    """Latencies by name, to the 99.99th percentile: of several runs merged, for example."""
    styles = [(SERIES[n % len(SERIES)], _DASHES[n % len(_DASHES)]) for n in range(len(histograms))]
    return _latency_chart({name: (histogram, 0) for name, histogram in histograms.items()}, styles, title)


Found = Mapping[str, tuple[Histogram, int]]


def _latency_chart(found: Found, styles: Sequence[tuple[str, str]], title: str) -> Chart:
    with figure(4.2, title=_folded(title)) as (drawn, axes):
        for number, ((label, (histogram, censored)), (colour, dashes)) in enumerate(
            zip(found.items(), styles, strict=True)
        ):
            read = _read(histogram, censored)
            finite = {share: value for share, value in read.items() if np.isfinite(value)}
            axes.plot(
                [1 / (1 - share) for share in finite], [max(value, _LEAST_MS) for value in finite.values()],
                MARKERS[number % len(MARKERS)], linestyle=dashes, linewidth=1.7, markersize=4.5, color=colour,
                label=label if len(finite) == len(read) else f"{label} (then never)",
            )  # fmt: skip
        axes.set_xscale("log")
        if any(histogram.count for histogram, _ in found.values()):
            axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xticks([1 / (1 - share) for share in _TICKS], list(_TICKS.values()))
        axes.set_xticks([], minor=True)
        axes.set_xlabel("share of all messages that took at most that long")
        axes.set_ylabel("ms, logarithmic")
        drawn.legend(loc="outside lower left", ncols=min(4, len(found)))
        return finished(drawn, _latency_in_words(found, title))


def _read(histogram: Histogram, censored: int) -> dict[float, float]:
    """Quantiles that so many messages can tell: a 99.99th percentile of a thousand is none."""
    count = histogram.count + censored
    return {
        share: histogram.quantile_ms(share, censored=censored)
        for share in QUANTILES
        if count and (share == 0 or (1 - share) * count >= 1 - 1e-9)
    }


def _latency_in_words(found: Found, title: str) -> str:
    lines = [title]
    for label, (histogram, censored) in found.items():
        parts = [f"p{share * 100:g} {in_short(value)}" for share, value in _read(histogram, censored).items()]
        lines.append(f"{label}: {histogram.count:,} messages, {', '.join(parts) or 'none'} ms")
    return "\n".join(lines)


def _folded(title: str, width: int = 84) -> str:
    words, lines = title.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
