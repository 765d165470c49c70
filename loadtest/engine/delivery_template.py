"""One delivery as bytes, and how many like it are told from others: all at once, or else column by column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loadtest.engine import stamps
from loadtest.engine.frames import Bytes

#: Rows that are compared at once at the most, and their bytes: they should stay in the processor's cache.
_MOST_ROWS = 256
_MOST_BYTES = 512 * 1024


class Template:
    """One delivery as bytes, with the columns that may differ from message to message."""

    def __init__(self, row: Bytes, *, tag_at: int, properties: slice, stamp_at: int, body_starts: list[slice]) -> None:
        self.row = row
        self.length = len(row)
        self.tag = slice(tag_at, tag_at + 8)
        self.redelivered = tag_at + 8
        self.stamp = slice(stamp_at, stamp_at + stamps.SIZE)
        self._properties = properties
        #: Columns of the body behind the stamp, and of everything around bodies: the structure.
        self._filler = np.zeros(self.length, np.bool_)
        for part in body_starts:
            self._filler[part] = True
        self._filler[self.stamp] = False
        self._structure = ~self._filler
        self._structure[self.tag] = self._structure[self.redelivered] = False
        self._structure[self.stamp] = False
        self._prepare()

    def _prepare(self) -> None:
        self._structure_runs, self._filler_runs = _runs(self._structure), _runs(self._filler)
        self._free_runs = _runs(~(self._structure | self._filler))
        self._starts = [(part, self.row[part].tobytes()) for part in self._structure_runs]
        self._expected = np.tile(self.row, (max(1, min(_MOST_ROWS, _MOST_BYTES // self.length)), 1))

    @property
    def most(self) -> int:
        """Rows that `equals` can look at together."""
        return len(self._expected)

    def begins(self, data: memoryview) -> bool:
        """Whether this is the start of another such delivery, cut off: all frames are as long as they should be."""
        if len(data) >= self.length:
            return False
        return all(data[part] == same[: max(0, len(data) - part.start)] for part, same in self._starts)

    def equals(self, rows: Bytes) -> bool:
        """Whether all rows have the same structure and the right filler: the usual case, seen in one comparison."""
        expected = self._expected[: len(rows)]
        for part in self._free_runs:
            expected[:, part] = rows[:, part]
        return bool((expected == rows).all())

    def fitting(self, rows: Bytes) -> int:
        """How many rows, from the first on, have the same structure."""
        fits = np.ones(len(rows), np.bool_)
        for part in self._structure_runs:
            fits &= (rows[:, part] == self.row[part]).all(axis=1)
        return len(rows) if fits.all() else int(np.argmin(fits))

    def whole(self, rows: Bytes) -> NDArray[np.bool_]:
        """Which rows have the right filler."""
        same = np.ones(len(rows), np.bool_)
        for part in self._filler_runs:
            same &= (rows[:, part] == self.row[part]).all(axis=1)
        return same

    def widen(self, other: Bytes) -> None:
        """Two deliveries differ in their properties alone, such as a stream's offset: these columns tell nothing."""
        differs = self.row != other
        outside = differs & self._structure
        outside[self._properties] = False
        if not outside.any():
            self._structure[self._properties] &= ~differs[self._properties]
            self._prepare()


def _runs(columns: NDArray[np.bool_]) -> list[slice]:
    """Stretches of columns, so that they can be compared without being copied together."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], columns, [False]])))
    return [slice(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
