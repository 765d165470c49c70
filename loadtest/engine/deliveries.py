"""Reads deliveries: as rows of one length as long as they look like the one before, one by one where they don't.

The first delivery is read frame by frame and becomes the template; what follows is compared with it column by
column, all rows at once. Whatever differs, such as a redelivered message with another header or a frame of another
kind, is read frame by frame again: slower, and just as exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.engine import stamps
from loadtest.engine.frames import (
    BODY,
    DELIVER,
    HEAD,
    HEADER,
    HEARTBEAT,
    METHOD,
    Bytes,
    Frame,
    decoded,
    frames,
)
from loadtest.engine.stamps import STAMP, Stamps
from loadtest.engine.wire import Inbox


@dataclass(frozen=True)
class Deliveries:
    """Messages in the order in which they came.

    Args:
        stamps: of those that are ours and whole.
        last_tag: delivery tag of the last message, ours or not.
        count: of all messages.
        redelivered: how many of them the broker had delivered before.
        corrupt: how many carry our mark, but were changed on the way.
        foreign: how many don't carry it.
    """

    stamps: Stamps
    last_tag: int
    count: int
    redelivered: int = 0
    corrupt: int = 0
    foreign: int = 0


class _Template:
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

    def fitting(self, rows: Bytes) -> int:
        """How many rows, from the first on, have the same structure."""
        fits = np.ones(len(rows), np.bool_)
        for part in _runs(self._structure):
            fits &= (rows[:, part] == self.row[part]).all(axis=1)
        return len(rows) if fits.all() else int(np.argmin(fits))

    def whole(self, rows: Bytes) -> NDArray[np.bool_]:
        """Which rows have the right filler."""
        same = np.ones(len(rows), np.bool_)
        for part in _runs(self._filler):
            same &= (rows[:, part] == self.row[part]).all(axis=1)
        return same

    def widen(self, other: Bytes) -> None:
        """Two deliveries differ in their properties alone, such as a stream's offset: these columns tell nothing."""
        differs = self.row != other
        outside = differs & self._structure
        outside[self._properties] = False
        if not outside.any():
            self._structure[self._properties] &= ~differs[self._properties]


def _runs(columns: NDArray[np.bool_]) -> list[slice]:
    """Stretches of columns, so that they can be compared without being copied together."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], columns, [False]])))
    return [slice(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


class DeliveryReader:
    """Takes what has arrived out of an inbox; what is cut off waits there.

    Args:
        size: of the bodies that are expected, in bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._filler = stamps.filler(size)
        self._template: _Template | None = None

    def read(self, inbox: Inbox) -> list[Deliveries | Any]:
        """Everything that is complete, in order; methods that are no deliveries are pamqp's objects.

        Raises:
            ProtocolError: what arrived is not AMQP.
        """
        answers: list[Deliveries | Any] = []
        while True:
            many = self._leading_rows(inbox)
            if many is not None:
                answers.append(many)
                continue
            taken = self._one(inbox)
            if taken is None:
                return answers
            end, answer = taken
            inbox.drop(end)
            if answer is not None:
                answers.append(answer)

    def _leading_rows(self, inbox: Inbox) -> Deliveries | None:
        template = self._template
        if template is None or len(inbox) < template.length:
            return None
        count = len(inbox) // template.length
        rows = inbox.array[: count * template.length].reshape(count, template.length)
        count = template.fitting(rows)
        if not count:
            return None
        rows = rows[:count]
        found = np.ascontiguousarray(rows[:, template.stamp]).view(STAMP).reshape(-1)
        whole = stamps.is_whole(found) & template.whole(rows)
        tag = int.from_bytes(rows[-1, template.tag].tobytes(), "big")
        redelivered = int(np.count_nonzero(rows[:, template.redelivered]))
        inbox.drop(count * template.length)
        damaged = count - int(np.count_nonzero(whole))
        if not damaged:
            return Deliveries(found, tag, count, redelivered)
        foreign = int(np.count_nonzero(found["magic"] != stamps.MAGIC))
        return Deliveries(found[whole], tag, count, redelivered, damaged - foreign, foreign)

    def _one(self, inbox: Inbox) -> tuple[int, Deliveries | Any | None] | None:
        """The next delivery or method, frame by frame: where it ends, and what it is; None if it is cut off."""
        found = frames(inbox.data)
        first = next(found, None)
        if first is None:
            return None
        if first.kind == HEARTBEAT:
            return first.end, None
        if first.kind != METHOD or first.method != DELIVER:
            return first.end, decoded(first)
        parts: list[Frame] = []
        for part in found:
            parts.append(part)
            if part.kind == HEADER and _body_size(part) == 0:
                break
            if part.kind == BODY and sum(len(p.payload) for p in parts[1:]) >= _body_size(parts[0]):
                break
        else:
            return None
        return parts[-1].end, self._delivery(first, parts, inbox)

    def _delivery(self, method: Frame, parts: list[Frame], inbox: Inbox) -> Deliveries:
        tag_at = method.start + HEAD.size + 5 + method.payload[4]
        tag = int.from_bytes(inbox.data[tag_at : tag_at + 8], "big")
        redelivered = inbox.data[tag_at + 8] & 1
        body = b"".join(part.payload for part in parts[1:])
        found = np.frombuffer(body[: stamps.SIZE], STAMP) if len(body) >= stamps.SIZE else np.empty(0, STAMP)
        ours = bool(len(found)) and bool(found["magic"][0] == stamps.MAGIC)
        whole = ours and bool(stamps.is_whole(found)[0]) and body[stamps.SIZE :] == self._filler
        if whole:
            self._learn(inbox.array[: parts[-1].end].copy(), parts, tag_at)
        kept = found if whole else np.empty(0, STAMP)
        return Deliveries(kept, tag, 1, redelivered, corrupt=int(ours and not whole), foreign=int(not ours))

    def _learn(self, row: Bytes, parts: list[Frame], tag_at: int) -> None:
        template = self._template
        if template is not None and template.length == len(row):
            template.widen(row)
            return
        if len(parts[1].payload) < stamps.SIZE:
            return  # a broker that cuts bodies shorter than a stamp is read frame by frame
        self._template = _Template(
            row,
            tag_at=tag_at,
            properties=slice(parts[0].start + HEAD.size + 12, parts[0].end - 1),
            stamp_at=parts[1].start + HEAD.size,
            body_starts=[slice(part.start + HEAD.size, part.end - 1) for part in parts[1:]],
        )


def _body_size(header: Frame) -> int:
    return int.from_bytes(header.payload[4:12], "big")
