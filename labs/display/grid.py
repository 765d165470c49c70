"""A grid of words: what came of every combination of a row and a column; tone and word say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labs.display.palette import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    PALE_BLUE,
    PALE_GREEN,
    PALE_VERMILION,
    PAPER,
    RULE,
    VERMILION,
)
from labs.display.picture import Drawing, Picture, text_width

_ROW = 30.0
_TITLE = 52.0
_PAD = 24.0

#: Ground and border of a cell.
_TONES = {
    "good": (PALE_GREEN, GREEN),
    "bad": (PALE_VERMILION, VERMILION),
    "note": (PALE_BLUE, BLUE),
    "": (PAPER, RULE),
}


def grid(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], str],
    *,
    title: str,
    tones: Mapping[str, str] | None = None,
) -> Picture:
    """Draw a grid.

    Args:
        rows, columns: their names, in order.
        cells: the word in each (row, column); a missing one stays empty.
        title: what to see.
        tones: by word, one of `good`, `bad`, `note`; others are plain.
    """
    tones = tones or {}
    head = max(map(text_width, rows)) + _PAD
    widths = [
        max(text_width(text, weight="bold") for text in (column, *(cells.get((row, column), "") for row in rows)))
        + _PAD
        for column in columns
    ]
    lefts = [head + sum(widths[:number]) for number in range(len(columns))]
    drawing = Drawing()
    drawing.text((0, 12), title, size=15, weight="bold")
    for left, width, column in zip(lefts, widths, columns, strict=True):
        drawing.text((left + width / 2, _TITLE - 8), column, colour=FAINT, anchor="middle")
    for number, row in enumerate(rows):
        top = _TITLE + number * _ROW
        drawing.text((0, top + _ROW / 2 + 4), row)
        for left, width, column in zip(lefts, widths, columns, strict=True):
            word = cells.get((row, column), "")
            fill, border = _TONES[tones.get(word, "")]
            drawing.box((left + 2, top + 2), (width - 4, _ROW - 4), fill=fill, border=border, width=1.2)
            drawing.text(
                (left + width / 2, top + _ROW / 2 + 4),
                word,
                anchor="middle",
                weight="bold" if word in tones else "normal",
                colour=FAINT if word == "-" else INK,
                halo=False,
            )
    width = max(head + sum(widths), text_width(title, size=15, weight="bold"))
    return Picture(drawing.svg(width, _TITLE + len(rows) * _ROW, title=title), _in_words(rows, columns, cells, title))


def _in_words(rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[str, str], str], title: str) -> str:
    lines = [["", *columns], *([row, *(cells.get((row, column), "") for column in columns)] for row in rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns) + 1)]
    written = [
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    return "\n".join([title, *written])
