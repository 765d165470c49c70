"""A drawing as SVG, put together from a few strokes; it brings its own paper, so it reads on white and on dark.

Only presentation attributes are used: no style sheet, script, id or link, so that GitHub and JupyterLab
show it unchanged, and several drawings on one page can't disturb one another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from labs.display.palette import FONT, INK, PAPER, RULE

Point = tuple[float, float]

#: Pixels of a letter at font size 12 that is wider than most; boxes sized by it hold their text in any font.
_LETTER_PX = {"normal": 6.6, "bold": 7.2}
_MARGIN = 20.0


def text_width(text: str, *, size: float = 12, weight: Literal["normal", "bold"] = "normal") -> float:
    """Pixels that a text may take."""
    return len(text) * _LETTER_PX[weight] * size / 12


@dataclass(frozen=True)
class Picture:
    """A drawing and what it says in words: shows as one or the other, whatever the reader's tool can do."""

    svg: str
    text: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        return {"image/svg+xml": self.svg, "text/plain": self.text}

    def __str__(self) -> str:
        return self.text

    def save(self, path: Path | str) -> None:
        """Write the SVG to a file."""
        Path(path).write_text(self.svg + "\n", encoding="utf-8")


class Drawing:
    """Strokes on paper; what is drawn later lies on top."""

    def __init__(self) -> None:
        self._strokes: list[str] = []

    def text(
        self,
        at: Point,
        text: str,
        *,
        size: float = 12,
        colour: str = INK,
        weight: Literal["normal", "bold"] = "normal",
        anchor: Literal["start", "middle", "end"] = "start",
        halo: bool = True,
    ) -> None:
        """A line of text with its baseline at a point; the halo of paper keeps it readable on lines."""
        around: dict[str, str | float] = {"stroke": PAPER, "stroke_width": 3, "paint_order": "stroke"} if halo else {}
        self._add(
            "text",
            escape(text),
            x=at[0],
            y=at[1],
            font_size=size,
            fill=colour,
            font_weight=weight,
            text_anchor=anchor,
            **around,
        )

    def box(
        self, at: Point, size: Point, *, fill: str, border: str, radius: float = 4, dashes: str = "", width: float = 1.5
    ) -> None:
        """A rectangle from its upper left corner."""
        self._add(
            "rect",
            x=at[0],
            y=at[1],
            width=size[0],
            height=size[1],
            rx=radius,
            fill=fill,
            stroke=border,
            stroke_width=width,
            **({"stroke_dasharray": dashes} if dashes else {}),
        )

    def circle(self, at: Point, radius: float, *, fill: str, border: str = PAPER) -> None:
        """A dot."""
        self._add("circle", cx=at[0], cy=at[1], r=radius, fill=fill, stroke=border, stroke_width=1.5)

    def line(self, start: Point, end: Point, *, colour: str, width: float = 1.0, dashes: str = "") -> None:
        """A straight line."""
        self.path(
            f"M{_n(start[0])} {_n(start[1])}L{_n(end[0])} {_n(end[1])}", colour=colour, width=width, dashes=dashes
        )

    def path(self, d: str, *, colour: str, width: float = 1.6, dashes: str = "") -> None:
        """A line along an SVG path."""
        dashed = {"stroke_dasharray": dashes} if dashes else {}
        self._add("path", d=d, fill="none", stroke=colour, stroke_width=width, **dashed)

    def arrow_head(self, tip: Point, *, direction: Point, colour: str) -> None:
        """A filled head whose tip is at a point."""
        length = math.hypot(*direction)
        dx, dy = direction[0] / length, direction[1] / length
        back = (tip[0] - 9 * dx, tip[1] - 9 * dy)
        points = [tip, (back[0] - 4 * dy, back[1] + 4 * dx), (back[0] + 4 * dy, back[1] - 4 * dx)]
        self._add("polygon", points=" ".join(f"{_n(x)},{_n(y)}" for x, y in points), fill=colour)

    def svg(self, width: float, height: float, *, title: str) -> str:
        """The whole drawing, `width` by `height` pixels of content inside a margin."""
        full = (width + 2 * _MARGIN, height + 2 * _MARGIN)
        frame = f'<rect x="0.5" y="0.5" width="{_n(full[0] - 1)}" height="{_n(full[1] - 1)}" rx="8"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(full[0])} {_n(full[1])}" '
                f'width="{_n(full[0])}" height="{_n(full[1])}" style="max-width: 100%; height: auto" '
                f'font-family="{FONT}" role="img" '
                f"aria-label={quoteattr(title)}>",
                f'{frame} fill="{PAPER}" stroke="{RULE}"/>',
                f'<g transform="translate({_n(_MARGIN)} {_n(_MARGIN)})">',
                *self._strokes,
                "</g>",
                "</svg>",
            ]
        )

    def _add(self, element: str, content: str = "", **attributes: str | float) -> None:
        written = " ".join(
            f"{name.replace('_', '-')}={quoteattr(_n(value) if isinstance(value, int | float) else value)}"
            for name, value in attributes.items()
        )
        self._strokes.append(f"<{element} {written}>{content}</{element}>" if content else f"<{element} {written}/>")


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
