"""What happened where and when: a lane for each place, marks for moments, bars for stretches of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from labs.display.chart import MARKERS, Chart, figure, finished
from labs.display.palette import ORANGE, PAPER, SERIES


@dataclass(frozen=True)
class Mark:
    """A moment: when, in seconds since the chart's start, of which kind, and a word beside it."""

    at_s: float
    kind: str
    note: str = ""


@dataclass(frozen=True)
class Stretch:
    """A stretch of time, in seconds since the chart's start."""

    start_s: float
    end_s: float
    kind: str
    note: str = ""


Lanes = Mapping[str, Sequence[Mark | Stretch]]

_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo")
#: Points between the middle of a lane and its words, which a bar must not hide.
_ABOVE_MARK, _ABOVE_BAR = 6, 10


def tracks(
    lanes: Lanes, *, title: str, shades: Mapping[str, tuple[float, float]] | None = None, x: str = "seconds"
) -> Chart:
    """Draw lanes under one clock; kinds differ by colour, and marks also by shape, bars by hatching.

    Args:
        lanes: what happened, by place, from top to bottom.
        title: what to see.
        shades: stretches (start, end) to shade over all lanes, by name: what was broken then.
        x: what the clock counts: seconds, or milliseconds; perhaps since when.
    """
    kinds = list(dict.fromkeys(item.kind for items in lanes.values() for item in items))
    looks = {kind: (SERIES[number % len(SERIES)], number) for number, kind in enumerate(kinds)}
    with figure(0.58 * len(lanes) + 1.5, title=title) as (drawn, axes):
        for label, (start_s, end_s) in (shades or {}).items():
            axes.axvspan(start_s, end_s, color=ORANGE, alpha=0.18, linewidth=0)
            axes.annotate(label, (start_s, -0.5), xytext=(3, 0), textcoords="offset points", va="top", fontsize=8)
        for row, items in enumerate(lanes.values()):
            above = _ABOVE_BAR if any(isinstance(item, Stretch) for item in items) else _ABOVE_MARK
            for item in items:
                _draw(axes, row, item, *looks[item.kind], above=above)
        axes.set_yticks(range(len(lanes)), list(lanes))
        axes.set_ylim(len(lanes) - 0.45, -0.6)
        axes.use_sticky_edges = False
        axes.margins(x=0.03)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(x)
        shown = {type(item): None for items in lanes.values() for item in items}
        handles = [_handle(kind, *looks[kind], lanes=lanes) for kind in kinds] if shown else []
        drawn.legend(handles=handles, loc="outside lower left", ncols=min(4, max(1, len(handles))))
        unit = "ms" if x.startswith("milliseconds") else "s"
        return finished(drawn, _in_words(lanes, title, shades or {}, unit))


def _draw(axes: Axes, row: int, item: Mark | Stretch, colour: str, number: int, *, above: int) -> None:
    if isinstance(item, Mark):
        axes.plot(item.at_s, row, MARKERS[number % len(MARKERS)], color=colour, markersize=7, markeredgecolor=PAPER)
        middle_s = item.at_s
    else:
        axes.barh(
            row, max(item.end_s - item.start_s, 0.001), left=item.start_s, height=0.46, color=colour,
            hatch=_HATCHES[number % len(_HATCHES)], edgecolor=PAPER, linewidth=0.8,
        )  # fmt: skip
        middle_s = (item.start_s + item.end_s) / 2
    if item.note:
        axes.annotate(
            item.note,
            (middle_s, row),
            xytext=(0, above),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
        )


def _handle(kind: str, colour: str, number: int, *, lanes: Lanes) -> Any:
    is_mark = any(isinstance(item, Mark) for items in lanes.values() for item in items if item.kind == kind)
    if is_mark:
        marker = MARKERS[number % len(MARKERS)]
        return Line2D([], [], linestyle="", marker=marker, color=colour, markersize=7, label=kind)
    return Patch(facecolor=colour, hatch=_HATCHES[number % len(_HATCHES)], edgecolor=PAPER, label=kind)


def _in_words(lanes: Lanes, title: str, shades: Mapping[str, tuple[float, float]], unit: str) -> str:
    lines = [title, *(f"{label}: {start_s:.2f} to {end_s:.2f} {unit}" for label, (start_s, end_s) in shades.items())]
    for name, items in lanes.items():
        lines.append(name)
        for item in items:
            when = f"{item.at_s:6.2f}" if isinstance(item, Mark) else f"{item.start_s:6.2f} to {item.end_s:6.2f}"
            lines.append(f"    {when} {unit}  {item.kind}  {item.note}".rstrip())
    return "\n".join(lines)
