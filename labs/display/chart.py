"""One style for all charts: a title that says what to see, units at the axes, colours that everybody can tell apart."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image  # matplotlib brings it

from labs.display.palette import FAINT, INK, PAPER, RULE

_DPI = 160
_WIDTH_IN = 8.6
#: Enough for smooth letters, and a third of the bytes: notebooks are read over the network.
_COLOURS = 64
#: In the order in which series take them, beside their colours.
MARKERS = ("o", "s", "^", "D", "v", "P")

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
def figure(height_in: float, *, title: str, **panels: Any) -> Iterator[tuple[Figure, Any]]:
    """A figure of its own and its axes, without pyplot: nothing global, nothing shown twice."""
    with mpl.rc_context(_STYLE):
        made = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        made.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        yield made, made.subplots(**panels)


def finished(drawn: Figure, text: str) -> Chart:
    """The chart as a picture, with its words."""
    buffer, small = io.BytesIO(), io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    with Image.open(buffer) as picture:
        picture.convert("RGB").quantize(_COLOURS).save(small, "PNG", optimize=True)
    return Chart(small.getvalue(), round(drawn.get_figwidth() * 96), text)


def in_short(value: float) -> str:
    """Two or three digits are as many as a median of a few hundred samples deserves."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
