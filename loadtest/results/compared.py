"""A picture of a comparison: every run as a dot, and between which bounds the ratio lies."""

from __future__ import annotations

import statistics

from matplotlib.axes import Axes

from labs.display.chart import MARKERS, Chart, figure, finished, in_short
from labs.display.palette import FAINT, INK, SERIES
from loadtest.compare import Comparison, Finding

_PHASES = {"speed": "messages per second at full speed", "latency": "p99 in ms, all at one rate"}


def plot_compare(comparison: Comparison, *, title: str | None = None) -> Chart:
    """Every run of each variant, its median, and the ratio to the first with its interval."""
    phases = [phase for phase in _PHASES if any(each.phase == phase for each in comparison.measured)]
    names = [variant.name for variant in comparison.variants]
    title = title or " or ".join(names) + "?"
    height = (0.55 * len(names) + 1.1) * len(phases) + 0.5
    with figure(height, title=title, nrows=len(phases), squeeze=False) as (drawn, grid):
        for axes, phase in zip(grid[:, 0], phases, strict=True):
            for row, name in enumerate(names):
                _draw(axes, row, comparison, name, phase)
            axes.set_title(_PHASES[phase], loc="left", fontsize=9, color=INK)
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.4, -0.7)
            axes.set_xlim(left=0)
            axes.margins(x=0.12)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
            axes.grid(visible=False, axis="y")
        grid[-1, 0].set_xlabel("each dot is one run, the bar their median; beside it the ratio to the first, 95 %")
        return finished(drawn, f"{title}\n{comparison}")


def _draw(axes: Axes, row: int, comparison: Comparison, name: str, phase: str) -> None:
    colour, marker = SERIES[row % len(SERIES)], MARKERS[row % len(MARKERS)]
    runs = comparison.of(name, phase)
    values = [run.per_s if phase == "speed" else run.p99_ms for run in runs]
    if not values:
        return
    heights = [row + (number % 5 - 2) * 0.07 for number in range(len(values))]
    axes.plot(values, heights, marker, color=colour, markersize=5.5, alpha=0.7, markeredgewidth=0)
    what = "rate" if phase == "speed" else "p99"
    found = [each for each in comparison.findings if each.other_name == name and each.what == what]
    middle = statistics.median(values)
    axes.plot([middle, middle], [row - 0.3, row + 0.3], color=INK, linewidth=2)
    label = in_short(middle) + (_ratio(found[0]) if found else "")
    # Words grow towards the middle of the picture, where there is room.
    ha = "right" if middle > 0.5 * _most(comparison, phase) else "left"
    axes.annotate(label, (middle, row - 0.32), ha=ha, va="bottom", fontsize=8.5, color=INK if found else FAINT)


def _most(comparison: Comparison, phase: str) -> float:
    runs = [each for each in comparison.measured if each.phase == phase]
    return max(each.per_s if phase == "speed" else each.p99_ms for each in runs)


def _ratio(finding: Finding) -> str:
    if finding.ratio is None:
        return ""
    word = "" if finding.differs else ", no difference shown"
    return f"   ({finding.ratio.low:.2f} to {finding.ratio.high:.2f} times{word})"
