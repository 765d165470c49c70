"""Places boxes in columns from left to right so that arrows are short, labels don't collide and nothing overlaps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: Pixels between two boxes of a column, between two arrows at a box, and beside the labels of a column.
_GAP = 14.0
_SLOT = 16.0
_BESIDE = 48.0


@dataclass
class Box:
    """Something to place; `left` and `top` are the layout's answer."""

    key: str
    width: float
    height: float
    column: int = 0
    left: float = 0.0
    top: float = 0.0

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


@dataclass
class Wire:
    """An arrow between two boxes; `backward` ones don't decide which box is further to the right."""

    source: str
    target: str
    labels: tuple[str, ...] = ()
    backward: bool = False
    #: The layout's answer: where it leaves and where it arrives.
    start: tuple[float, float] = (0.0, 0.0)
    end: tuple[float, float] = (0.0, 0.0)
    #: Labels stand left of the box on the right side of the arrow, from here on rightwards.
    label_left: float = 0.0

    @property
    def slots(self) -> int:
        return max(1, len(self.labels))


@dataclass
class Layout:
    """Boxes and wires, placed. `label_width` says how wide a label is."""

    boxes: dict[str, Box]
    wires: list[Wire]
    label_widths: dict[str, float]
    width: float = field(init=False, default=0.0)
    height: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._choose_columns()
        self._make_room_for_arrows()
        columns = self._ordered_columns()
        self._place_downwards(columns)
        self._place_rightwards(columns)
        self._attach()

    def _choose_columns(self) -> None:
        """As far from the roots as the shortest way; what only leads back stands right of where it leads."""
        forward = [wire for wire in self.wires if not wire.backward]
        targets = {wire.target for wire in forward if wire.target != wire.source}
        backs = {wire.source for wire in self.wires if wire.backward}
        found = {key: 0 for key in self.boxes if key not in targets and key not in backs}
        frontier = list(found) or list(self.boxes)[:1]
        found.update(dict.fromkeys(frontier, 0))
        while frontier:
            reached = [w.target for key in frontier for w in forward if w.source == key and w.target not in found]
            for wire in (w for w in forward if w.source in frontier):
                found.setdefault(wire.target, found[wire.source] + 1)
            frontier = list(dict.fromkeys(reached))
            if not frontier:
                frontier = self._leading_back(found)
        for key, box in self.boxes.items():
            box.column = found.get(key, 0)

    def _leading_back(self, found: dict[str, int]) -> list[str]:
        """Boxes not yet found that lead to one that is, now found."""
        led = [wire for wire in self.wires if wire.target in found and wire.source not in found]
        for wire in led:
            found.setdefault(wire.source, found[wire.target] + 1)
        return list(dict.fromkeys(wire.source for wire in led))

    def _sides(self, wire: Wire) -> tuple[Box, Box]:
        """The boxes at its left and right end."""
        source, target = self.boxes[wire.source], self.boxes[wire.target]
        return (source, target) if source.column <= target.column else (target, source)

    def _make_room_for_arrows(self) -> None:
        for box in self.boxes.values():
            labelled = sum(wire.slots for wire in self.wires if self._sides(wire)[1] is box)
            leaving = sum(1 for wire in self.wires if self._sides(wire)[0] is box)
            box.height = max(box.height, _SLOT * labelled + 4, 9.0 * leaving)

    def _ordered_columns(self) -> list[list[Box]]:
        columns: list[list[Box]] = [[] for _ in range(max(box.column for box in self.boxes.values()) + 1)]
        for box in self.boxes.values():
            columns[box.column].append(box)
        rank: dict[str, float] = {}
        for number, column in enumerate(columns):
            column.sort(key=lambda box: (self._mean(box, rank, number), natural(box.key)))
            rank.update({box.key: place / max(1, len(column)) for place, box in enumerate(column)})
        return [column for column in columns if column]

    def _mean(self, box: Box, rank: dict[str, float], column: int) -> float:
        """The mean place of its neighbours to the left; without any it goes last."""
        near = [rank[key] for key in self._neighbours(box) if key in rank and self.boxes[key].column < column]
        return sum(near) / len(near) if near else 1.0

    def _neighbours(self, box: Box) -> Iterable[str]:
        for wire in self.wires:
            if box.key in (wire.source, wire.target):
                yield wire.target if wire.source == box.key else wire.source

    def _place_downwards(self, columns: Sequence[list[Box]]) -> None:
        heights = [sum(box.height + _GAP for box in column) for column in columns]
        tallest = heights.index(max(heights))
        self.height = heights[tallest] - _GAP
        _stack(columns[tallest])
        placed = {box.key for box in columns[tallest]}
        before = list(range(tallest - 1, -1, -1))
        for number in before + list(range(tallest + 1, len(columns))):
            for box in columns[number]:
                near = [self.boxes[key].middle for key in self._neighbours(box) if key in placed]
                # What nothing placed leads to stands right below the one before it.
                box.top = sum(near) / len(near) - box.height / 2 if near else 0.0
            _separate(columns[number], self.height)
            placed |= {box.key for box in columns[number]}

    def _place_rightwards(self, columns: Sequence[list[Box]]) -> None:
        left = 0.0
        for column in columns:
            widest = max(box.width for box in column)
            labels = [self._label_width(wire) for wire in self.wires if self._sides(wire)[1] in column]
            left += (max(labels, default=0.0) + _BESIDE) if left else 0.0
            for box in column:
                box.left, box.width = left, widest
            left += widest
        self.width = left

    def _label_width(self, wire: Wire) -> float:
        return max((self.label_widths[label] for label in wire.labels), default=0.0)

    def _attach(self) -> None:
        for box in self.boxes.values():
            at_left = [wire for wire in self.wires if self._sides(wire)[1] is box]
            at_left.sort(key=lambda wire: self._sides(wire)[0].middle)
            total = _SLOT * sum(wire.slots for wire in at_left)
            at = box.middle - total / 2
            for wire in at_left:
                at += _SLOT * wire.slots
                self._set_end(wire, box, (box.left, at - _SLOT / 2 + 3))
            at_right = [wire for wire in self.wires if self._sides(wire)[0] is box and self._sides(wire)[1] is not box]
            at_right.sort(key=lambda wire: (self._sides(wire)[1].middle, wire.backward))
            step = box.height / (len(at_right) + 1)
            for number, wire in enumerate(at_right, 1):
                self._set_end(wire, box, (box.left + box.width, box.top + step * number))
        for wire in self.wires:
            wire.label_left = max(wire.start[0], wire.end[0]) - self._label_width(wire) - 16

    def _set_end(self, wire: Wire, box: Box, at: tuple[float, float]) -> None:
        if self.boxes[wire.source] is box:
            wire.start = at
        else:
            wire.end = at


def natural(text: str) -> list[tuple[int, int | str]]:
    """A sort key under which `retry.400` stands before `retry.1000`."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]


def _stack(boxes: Sequence[Box]) -> None:
    top = 0.0
    for box in boxes:
        box.top = top
        top += box.height + _GAP


def _separate(boxes: Sequence[Box], height: float) -> None:
    """Push boxes apart, keeping their order, within the height."""
    floor = 0.0
    for box in boxes:
        box.top = max(box.top, floor)
        floor = box.top + box.height + _GAP
    ceiling = height
    for box in reversed(boxes):
        box.top = min(box.top, ceiling - box.height)
        ceiling = box.top - _GAP
