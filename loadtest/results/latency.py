"""Pictures of latencies to the 99.99th percentile: the four of one run, or several runs over one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from labs.display.chart import MARKERS, Chart, figure, finished, in_short
from labs.display.palette import BLUE, GREEN, GREY, SERIES, VERMILION
from loadtest.engine.histogram import Histogram
from loadtest.results.run import Run
from loadtest.results.words import folded

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
    with figure(4.2, title=folded(title)) as (drawn, axes):
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
