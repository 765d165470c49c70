"""Many single measurements over time, each a dot: where they lie says more than any figure made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labs.display.chart import MARKERS, Chart, figure, finished, in_short
from labs.display.palette import FAINT, ORANGE, SERIES

Points = Sequence[tuple[float, float]]


def dots(
    series: Mapping[str, Points], *, title: str, x: str, y: str, shades: Mapping[str, tuple[float, float]] | None = None
) -> Chart:
    """Every measurement at its place.

    Args:
        series: points (x, y) by name.
        title: what to see.
        x, y: what the axes show, with units.
        shades: stretches of x (start, end) to shade, by name.
    """
    shades = shades or {}
    with figure(3.8, title=title) as (drawn, axes):
        for number, (name, points) in enumerate(series.items()):
            axes.plot(
                [at for at, _ in points], [value for _, value in points], MARKERS[number % len(MARKERS)],
                color=SERIES[number % len(SERIES)], markersize=4.5, alpha=0.55, markeredgewidth=0, label=name,
            )  # fmt: skip
        for label, (start, end) in shades.items():
            axes.axvspan(start, end, color=ORANGE, alpha=0.18, linewidth=0)
            axes.annotate(
                label, (start, 1), xycoords=("data", "axes fraction"), xytext=(3, -3), textcoords="offset points",
                va="top", fontsize=8, color=FAINT,
            )  # fmt: skip
        axes.set_ylim(bottom=0, top=1.15 * max((value for points in series.values() for _, value in points), default=1))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        drawn.legend(loc="outside lower left", ncols=min(3, len(series)))
        return finished(drawn, _in_words(series, title, y))


def _in_words(series: Mapping[str, Points], title: str, y: str) -> str:
    lines = [title]
    for name, points in series.items():
        if not points:
            lines.append(f"{name}: none")
            continue
        at, most = max(points, key=lambda point: point[1])
        lines.append(f"{name}: {len(points):,} dots, the highest {in_short(most)} at {at:.2f} ({y})")
    return "\n".join(lines)
