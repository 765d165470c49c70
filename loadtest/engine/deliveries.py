"""Reads deliveries: as rows of one length as long as they look like the one before, one by one where they don't.

The first delivery is read frame by frame and becomes the template; what follows is compared with it column by
column, all rows at once. Whatever differs, such as a redelivered message with another header or a frame of another
kind, is read frame by frame again: slower, and just as exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from loadtest.engine import stamps
from loadtest.engine.delivery_template import Template
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
from loadtest.engine.inbox import Inbox
from loadtest.engine.stamps import STAMP, Stamps


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


class DeliveryReader:
    """Takes what has arrived out of an inbox; what is cut off waits there.

    Args:
        size: of the bodies that are expected, in bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._filler = stamps.filler(size)
        self._template: Template | None = None

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
            if self._template is not None and self._template.begins(inbox.data):
                return answers
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
        count = min(len(inbox) // template.length, template.most)
        rows = inbox.array[: count * template.length].reshape(count, template.length)
        are_equal = template.equals(rows)
        if not are_equal:
            count = template.fitting(rows)
            if not count:
                return None
            rows = rows[:count]
        # A copy even of a single row: it is kept for longer than the buffer that it lies in.
        found = rows[:, template.stamp].copy().view(STAMP).reshape(-1)
        whole = stamps.is_whole(found)
        if not are_equal:
            whole &= template.whole(rows)
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
        self._template = Template(
            row,
            tag_at=tag_at,
            properties=slice(parts[0].start + HEAD.size + 12, parts[0].end - 1),
            stamp_at=parts[1].start + HEAD.size,
            body_starts=[slice(part.start + HEAD.size, part.end - 1) for part in parts[1:]],
        )


def _body_size(header: Frame) -> int:
    return int.from_bytes(header.payload[4:12], "big")
