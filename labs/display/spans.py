"""The lives of jobs as stretches of time: one row for each job, one bar for each state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from labs.display.chart import Chart, figure, finished
from labs.display.palette import BLUE, GREEN, GREY, ORANGE, PAPER, VERMILION


@dataclass(frozen=True)
class Span:
    """A stretch of a job's life: its state from one moment to another, in seconds since the chart's start."""

    state: str
    start_s: float
    end_s: float
    note: str = ""


_STATES = {
    "pending": (GREY, ""),
    "processing": (BLUE, ""),
    "waiting": (ORANGE, "///"),
    "held by the dead": (VERMILION, "xxx"),
    "in the dead-letter queue": (VERMILION, "..."),
    "completed": (GREEN, ""),
}


def job_timelines(jobs: Mapping[str, Sequence[Span]], *, title: str, notes: bool = True) -> Chart:
    """One row for each job, one bar for each span; states differ by colour and by hatching."""
    height_in = max(2.0, (0.5 if notes else 0.12) * len(jobs) + 1.5)
    with figure(height_in, title=title) as (drawn, axes):
        for row, spans in enumerate(jobs.values()):
            for span in spans:
                _draw_span(axes, row, span, notes=notes)
        seen = [state for state in _STATES if any(span.state == state for spans in jobs.values() for span in spans)]
        drawn.legend(handles=[_patch(state) for state in seen], loc="outside lower left", ncols=len(seen))
        if notes:
            axes.set_yticks(range(len(jobs)), list(jobs))
        else:
            axes.set_yticks([0, len(jobs) - 1], [next(iter(jobs)), list(jobs)[-1]])
        axes.set_ylim(len(jobs) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("seconds since the first request")
        return finished(drawn, _timelines_in_words(jobs, title))


def _draw_span(axes: Axes, row: int, span: Span, *, notes: bool) -> None:
    colour, hatch = _STATES[span.state]
    ends = span.state == "completed"
    if ends:
        axes.plot(span.start_s, row, "D", color=colour, markersize=9 if notes else 4, zorder=3)
    else:
        width = span.end_s - span.start_s
        axes.barh(row, width, left=span.start_s, height=0.6, color=colour, hatch=hatch, edgecolor=PAPER, linewidth=0.6)
    if notes and span.note:
        middle = span.start_s if ends else (span.start_s + span.end_s) / 2
        axes.annotate(span.note, (middle, row - 0.33), ha="center", va="bottom", fontsize=8)


def _patch(state: str) -> Patch:
    colour, hatch = _STATES[state]
    return Patch(facecolor=colour, hatch=hatch, edgecolor=PAPER, label=state)


def _timelines_in_words(jobs: Mapping[str, Sequence[Span]], title: str) -> str:
    lines = [title]
    for name, spans in jobs.items():
        lines.append(name)
        lines += [
            f"    {span.start_s:6.2f} to {span.end_s:6.2f} s  {span.state} {span.note}".rstrip() for span in spans
        ]
    return "\n".join(lines)
