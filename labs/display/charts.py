"""Charts of measurements: every sample, totals, curves over a parameter, latency distributions, series over time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis

from labs.display.chart import MARKERS, Chart, figure, finished, in_short
from labs.display.palette import FAINT, INK, ORANGE, PAPER, SERIES


def spread(
    samples: Mapping[str, Sequence[float]], *, title: str, unit: str = "ms", limit: float | None = None
) -> Chart:
    """Every sample as a dot, one row for each series, with its median: on a logarithmic axis.

    Args:
        samples: the series by name; an empty one keeps its row.
        title: what to see.
        unit: of the samples.
        limit: a line to compare with.
    """
    with figure(0.75 * len(samples) + 1.3, title=title) as (drawn, axes):
        for row, (name, values) in enumerate(samples.items()):
            _draw_dots(axes, row, list(values), unit=unit, name=name)
        if limit is not None:
            axes.axvline(limit, color=INK, linestyle="--", linewidth=1)
        axes.set_xscale("log")
        _label_plainly(axes.xaxis)
        axes.set_yticks(range(len(samples)), list(samples))
        axes.set_ylim(len(samples) - 0.4, -0.75)
        axes.margins(x=0.08)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{unit}, logarithmic; each dot is one measurement, the bar their median")
        return finished(drawn, _spread_in_words(samples, title, unit))


def _label_plainly(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis; powers of ten alone, unless it spans too little to show two of them."""

    def between(value: float, _: object) -> str:
        low, high = axis.get_view_interval()
        shows_two = math.floor(math.log10(high)) > math.ceil(math.log10(low))
        return "" if shows_two or f"{value:e}"[0] not in "235" else f"{value:g}"

    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(between)


def _draw_dots(axes: Axes, row: int, values: list[float], *, unit: str, name: str) -> None:
    if not values:
        return
    colour = SERIES[row % len(SERIES)]
    # Dots are spread over the height of the row in turn, so that equal ones don't hide each other.
    heights = [row + (number % 5 - 2) * 0.09 for number in range(len(values))]
    marker = MARKERS[row % len(MARKERS)]
    axes.plot(values, heights, marker, color=colour, markersize=5, alpha=0.65, markeredgewidth=0, label=name)
    middle = statistics.median(values)
    axes.plot([middle, middle], [row - 0.32, row + 0.32], color=INK, linewidth=2)
    axes.annotate(f"{in_short(middle)} {unit}", (middle, row - 0.34), ha="center", va="bottom", fontsize=9)


def _spread_in_words(samples: Mapping[str, Sequence[float]], title: str, unit: str) -> str:
    lines = [title]
    for name, values in samples.items():
        if not values:
            lines.append(f"{name}: no samples")
            continue
        least, middle, most = (in_short(value) for value in (min(values), statistics.median(values), max(values)))
        lines.append(f"{name}: {len(values)} samples, least {least}, median {middle}, most {most} {unit}")
    return "\n".join(lines)


Bars = Mapping[str, float] | Mapping[str, Mapping[str, float]]


def bars(values: Bars, *, title: str, unit: str) -> Chart:
    """One bar for each name, or for each name a group with one bar for each series.

    Args:
        values: by name; or by name and series.
        title: what to see.
        unit: of the values, for example `messages` or `ms`.
    """
    groups = {name: value if isinstance(value, Mapping) else {"": value} for name, value in values.items()}
    series = list(dict.fromkeys(part for group in groups.values() for part in group))
    height = 0.8 / len(series)
    with figure(0.32 * len(groups) * max(1.6, len(series)) + 1.2, title=title) as (drawn, axes):
        for number, part in enumerate(series):
            rows = [row + (number - (len(series) - 1) / 2) * height for row in range(len(groups))]
            lengths = [group.get(part, 0.0) for group in groups.values()]
            drawn_bars = axes.barh(
                rows, lengths, height=height * 0.9, color=SERIES[number % len(SERIES)], hatch=_HATCHES[number % 4],
                edgecolor=PAPER, linewidth=0, label=part,
            )  # fmt: skip
            axes.bar_label(drawn_bars, labels=[in_short(length) for length in lengths], padding=4, fontsize=9)
        axes.set_yticks(range(len(groups)), list(groups))
        axes.set_ylim(len(groups) - 0.45, -0.55)
        axes.margins(x=0.1)
        axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(unit)
        if len(series) > 1:
            drawn.legend(loc="outside lower left", ncols=min(4, len(series)))
        return finished(drawn, _bars_in_words(groups, title, unit))


_HATCHES = ("", "///", "...", "xxx")


def _bars_in_words(groups: Mapping[str, Mapping[str, float]], title: str, unit: str) -> str:
    lines = [title]
    for name, group in groups.items():
        parts = [f"{part} {in_short(value)}".strip() for part, value in group.items()]
        lines.append(f"{name}: {', '.join(parts)} {unit}")
    return "\n".join(lines)


Points = Sequence[tuple[float, float]]


def lines(
    series: Mapping[str, Points], *, title: str, x: str, y: str, log_x: bool = False, log_y: bool = False
) -> Chart:
    """Curves over a parameter, each measured point marked.

    Args:
        series: points (x, y) by name; a single one needs no legend.
        title: what to see.
        x, y: what the axes show, with units.
        log_x, log_y: logarithmic axes.
    """
    with figure(3.6, title=title) as (drawn, axes):
        for number, (name, points) in enumerate(series.items()):
            axes.plot(
                *zip(*points, strict=True), MARKERS[number % len(MARKERS)], linestyle="-", linewidth=1.6, markersize=6,
                color=SERIES[number % len(SERIES)], label=name,
            )  # fmt: skip
        if log_x:
            axes.set_xscale("log")
            values = sorted({point[0] for points in series.values() for point in points})
            axes.set_xticks(values, [f"{value:g}" for value in values], minor=False)
            axes.set_xticks([], minor=True)
        if log_y:
            axes.set_yscale("log")
            _label_plainly(axes.yaxis)
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        if len(series) > 1:
            drawn.legend(loc="outside lower left", ncols=min(4, len(series)))
        return finished(drawn, _lines_in_words(series, title, x, y))


def _lines_in_words(series: Mapping[str, Points], title: str, x: str, y: str) -> str:
    text = [title, f"{y} over {x}"]
    text += [
        f"{name}: " + ", ".join(f"{point[0]:g}: {in_short(point[1])}" for point in points)
        for name, points in series.items()
    ]
    return "\n".join(text)


#: Where a distribution is read; the axis gives every further nine the same room.
_QUANTILES = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999)


def percentiles(samples: Mapping[str, Sequence[float]], *, title: str, unit: str = "ms") -> Chart:
    """Latency distributions: what share of the samples took at most how long, with room for the slow few.

    Args:
        samples: the series by name; a series is read no further than it has samples for.
        title: what to see.
        unit: of the samples.
    """
    with figure(3.8, title=title) as (drawn, axes):
        for number, (name, values) in enumerate(samples.items()):
            read = _read_at(values)
            axes.plot(
                [1 / (1 - quantile) for quantile in read], list(read.values()), MARKERS[number % len(MARKERS)],
                linestyle="-", linewidth=1.6, markersize=5, color=SERIES[number % len(SERIES)], label=name,
            )  # fmt: skip
        axes.set_xscale("log")
        if any(samples.values()):  # without a number there is no logarithm
            axes.set_yscale("log")
        _label_plainly(axes.yaxis)
        shown = [0.0, 0.5, 0.9, 0.99, 0.999]
        axes.set_xticks([1 / (1 - quantile) for quantile in shown], ["least", "50 %", "90 %", "99 %", "99.9 %"])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("share of all that took at most that long")
        axes.set_ylabel(f"{unit}, logarithmic")
        drawn.legend(loc="outside lower left", ncols=min(3, len(samples)))
        return finished(drawn, _percentiles_in_words(samples, title, unit))


def _read_at(values: Sequence[float]) -> dict[float, float]:
    """Quantiles that so many samples can tell: a 99th percentile of ten is none."""
    ordered = sorted(values)
    known = [quantile for quantile in _QUANTILES if quantile == 0 or (1 - quantile) * len(ordered) >= 1]
    return {quantile: ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] for quantile in known if ordered}


def _percentiles_in_words(samples: Mapping[str, Sequence[float]], title: str, unit: str) -> str:
    text = [title]
    for name, values in samples.items():
        parts = [f"p{quantile * 100:g} {in_short(value)}" for quantile, value in _read_at(values).items()]
        text.append(f"{name}: {len(values)} samples, {', '.join(parts)} {unit}")
    return "\n".join(text)


def panels(
    series: Mapping[str, Points], *, title: str, shades: Mapping[str, tuple[float, float]] | None = None
) -> Chart:
    """Several quantities over the same seconds, one below the other: which moves first?

    Args:
        series: points (seconds, value) by name, the name with its unit.
        title: what to see.
        shades: stretches of time (start, end) to shade, by name: what was broken then.
    """
    shades = shades or {}
    with figure(0.95 * len(series) + 1.0, title=title, nrows=len(series), sharex=True, squeeze=False) as (drawn, grid):
        for number, (axes, (name, points)) in enumerate(zip(grid[:, 0], series.items(), strict=True)):
            axes.plot(*zip(*points, strict=True), drawstyle="steps-post", color=SERIES[(number + 1) % len(SERIES)])
            axes.set_title(name, loc="left", fontsize=9, color=INK)
            room = 1.7 if shades and number == 0 else 1.15  # for the names of the shades, above the curve
            axes.set_ylim(bottom=0, top=max(1.0, room * max(point[1] for point in points)))
            for label, (start_s, end_s) in shades.items():
                axes.axvspan(start_s, end_s, color=ORANGE, alpha=0.22, linewidth=0)
                if number == 0:
                    axes.annotate(
                        label, (start_s, 1), xycoords=("data", "axes fraction"), xytext=(3, -3), fontsize=8,
                        textcoords="offset points", va="top", color=FAINT,
                    )  # fmt: skip
        grid[-1, 0].set_xlabel("seconds")
        return finished(drawn, _panels_in_words(series, title, shades))


def _panels_in_words(series: Mapping[str, Points], title: str, shades: Mapping[str, tuple[float, float]]) -> str:
    text = [title, *(f"{label}: {start_s:.1f} to {end_s:.1f} s" for label, (start_s, end_s) in shades.items())]
    for name, points in series.items():
        values = [value for _, value in points]
        peak_s = points[values.index(max(values))][0]
        text.append(f"{name}: from {in_short(values[0])} to {in_short(values[-1])}, most {in_short(max(values))} "
                    f"at {peak_s:.1f} s")  # fmt: skip
    return "\n".join(text)
