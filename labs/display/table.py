"""A small table for notebooks: HTML where that is shown, aligned columns where it is not."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Table:
    """Rows under a head; columns named in `right` are aligned to the right."""

    def __init__(self, *head: str, rows: Iterable[Iterable[object]], right: tuple[str, ...] = ()) -> None:
        self._head = head
        self._rows = [[str(cell) for cell in row] for row in rows]
        self._right = [name in right for name in head]

    def __str__(self) -> str:
        lines = [list(self._head), *self._rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self._head))]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join(
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, self._right, strict=True)
            ).rstrip()
            for line in lines
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        return {"text/html": self._html(), "text/plain": str(self)}

    def _html(self) -> str:
        head = "".join(self._cell("th", *pair) for pair in zip(self._head, self._right, strict=True))
        rows = ["".join(self._cell("td", *pair) for pair in zip(row, self._right, strict=True)) for row in self._rows]
        body = "\n".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"

    @staticmethod
    def _cell(element: str, text: str, right: bool) -> str:
        align = "right" if right else "left"
        return f'<{element} align="{align}" style="text-align: {align}">{escape(text)}</{element}>'
