"""Charts in one style: a title that says what to see, units at the axes, colours that everybody can tell apart."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from labs.display.palette import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PAPER, RULE, SERIES, VERMILION

_DPI = 160
_WIDTH_IN = 8.6
_MARKERS = ("o", "s", "^", "D", "v", "P")

_STYLE: dict[Any, Any] = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": INK,
    "font.size": 10,
    "font.family": ["DejaVu Sans"],
    "legend.frameon": False,
    "svg.hashsalt": "rabbitmq-lab",
}


@dataclass(frozen=True)
class Chart:
    """A chart and what it shows in words."""

    png: bytes
    width_px: int
    text: str

    def _repr_mimebundle_(
        self,
        include: object = None,  # noqa: ARG002
        exclude: object = None,  # noqa: ARG002
    ) -> tuple[dict[str, bytes | str], dict[str, dict[str, int]]]:
        return {"image/png": self.png, "text/plain": self.text}, {"image/png": {"width": self.width_px}}

    def __str__(self) -> str:
        return self.text

    def save(self, path: Path | str) -> None:
        """Write the PNG to a file."""
        Path(path).write_bytes(self.png)


@contextmanager
def _figure(height_in: float, *, title: str) -> Iterator[tuple[Figure, Axes]]:
    """A figure of its own, without pyplot: nothing global, nothing shown twice."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        yield figure, figure.subplots()


def _chart(figure: Figure, text: str) -> Chart:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return Chart(buffer.getvalue(), round(figure.get_figwidth() * 96), text)


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
    with _figure(0.75 * len(samples) + 1.3, title=title) as (figure, axes):
        for row, (name, values) in enumerate(samples.items()):
            _draw_dots(axes, row, list(values), unit=unit, name=name)
        if limit is not None:
            axes.axvline(limit, color=INK, linestyle="--", linewidth=1)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_yticks(range(len(samples)), list(samples))
        axes.set_ylim(len(samples) - 0.4, -0.75)
        axes.margins(x=0.08)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{unit}, logarithmic; each dot is one measurement, the bar their median")
        return _chart(figure, _spread_in_words(samples, title, unit))


def _draw_dots(axes: Axes, row: int, values: list[float], *, unit: str, name: str) -> None:
    if not values:
        return
    colour = SERIES[row % len(SERIES)]
    # Dots are spread over the height of the row in turn, so that equal ones don't hide each other.
    heights = [row + (number % 5 - 2) * 0.09 for number in range(len(values))]
    marker = _MARKERS[row % len(_MARKERS)]
    axes.plot(values, heights, marker, color=colour, markersize=5, alpha=0.65, markeredgewidth=0, label=name)
    middle = statistics.median(values)
    axes.plot([middle, middle], [row - 0.32, row + 0.32], color=INK, linewidth=2)
    axes.annotate(f"{_short(middle)} {unit}", (middle, row - 0.34), ha="center", va="bottom", fontsize=9)


def _short(value: float) -> str:
    """Two or three digits are as many as a median of a few hundred samples deserves."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _spread_in_words(samples: Mapping[str, Sequence[float]], title: str, unit: str) -> str:
    lines = [title]
    for name, values in samples.items():
        if not values:
            lines.append(f"{name}: no samples")
            continue
        least, middle, most = (_short(value) for value in (min(values), statistics.median(values), max(values)))
        lines.append(f"{name}: {len(values)} samples, least {least}, median {middle}, most {most} {unit}")
    return "\n".join(lines)


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
    with _figure(height_in, title=title) as (figure, axes):
        for row, spans in enumerate(jobs.values()):
            for span in spans:
                _draw_span(axes, row, span, notes=notes)
        seen = [state for state in _STATES if any(span.state == state for spans in jobs.values() for span in spans)]
        figure.legend(handles=[_patch(state) for state in seen], loc="outside lower left", ncols=len(seen))
        if notes:
            axes.set_yticks(range(len(jobs)), list(jobs))
        else:
            axes.set_yticks([0, len(jobs) - 1], [next(iter(jobs)), list(jobs)[-1]])
        axes.set_ylim(len(jobs) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("seconds since the first request")
        return _chart(figure, _timelines_in_words(jobs, title))


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
