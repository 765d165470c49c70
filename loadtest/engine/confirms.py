"""Reads what a broker answers to a publisher: rows of acks at once, and everything else frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.engine import stamps
from loadtest.engine.frames import ACK, BODY, HEAD, HEADER, HEARTBEAT, METHOD, NACK, RETURN, Frame, decoded, frames
from loadtest.engine.wire import Inbox

#: Every ack has this length: frame head, class and method, delivery tag, the flag `multiple`, end mark.
ACK_BYTES = 21
_TAG = slice(11, 19)
_MULTIPLE = 19
_BEFORE_TAG = np.frombuffer(HEAD.pack(METHOD, 1, 13) + ACK.to_bytes(4, "big"), np.uint8)
_END = 0xCE


@dataclass(frozen=True)
class Settled:
    """Confirms in the order in which they came.

    Args:
        tags: delivery tags.
        multiple: for each, whether it stands for all before it too.
        nacked: whether the broker refused them.
    """

    tags: NDArray[np.int64]
    multiple: NDArray[np.bool_]
    nacked: bool = False


@dataclass(frozen=True)
class Returned:
    """A message that the broker could not route; its ack comes later.

    Args:
        sequence: of the message; None if it isn't one of ours.
        reason: in the broker's words.
    """

    sequence: int | None
    reason: str


Answer = Settled | Returned | Any


class ConfirmReader:
    """Takes what has arrived out of an inbox; what is cut off waits there."""

    def __init__(self) -> None:
        self._returning: Any = None

    def read(self, inbox: Inbox) -> list[Answer]:
        """Everything that is complete, in order; methods that are neither are pamqp's objects.

        Raises:
            ProtocolError: what arrived is not AMQP.
        """
        answers: list[Answer] = []
        while True:
            acks = _leading_acks(inbox)
            if acks is not None:
                answers.append(acks)
                continue
            found = next(frames(inbox.data), None)
            if found is None:
                return answers
            answer = self._one(found)
            inbox.drop(found.end)
            if answer is not None:
                answers.append(answer)

    def _one(self, found: Frame) -> Answer | None:
        if found.kind in (HEARTBEAT, HEADER):
            return None
        if found.kind == BODY:
            method, self._returning = self._returning, None
            return None if method is None else Returned(stamps.sequence_of(found.payload), method.reply_text)
        if found.method == RETURN:
            self._returning = decoded(found)
            return None
        if found.method in (ACK, NACK):
            return _settled(found)
        return decoded(found)


def _leading_acks(inbox: Inbox) -> Settled | None:
    """The acks that stand at the start of what has arrived, looked at as rows of one length."""
    count = len(inbox) // ACK_BYTES
    if not count:
        return None
    rows = inbox.array[: count * ACK_BYTES].reshape(count, ACK_BYTES)
    fits = (rows[:, : _TAG.start] == _BEFORE_TAG).all(axis=1) & (rows[:, -1] == _END)
    if not fits[0]:
        return None
    count = count if fits.all() else int(np.argmin(fits))
    tags = np.ascontiguousarray(rows[:count, _TAG]).view(">i8").reshape(-1).astype(np.int64)
    multiple = rows[:count, _MULTIPLE] & 1 == 1
    inbox.drop(count * ACK_BYTES)
    return Settled(tags, multiple)


def _settled(found: Frame) -> Settled:
    tag = int.from_bytes(found.payload[4:12], "big")
    multiple = bool(found.payload[12] & 1)
    return Settled(np.array([tag], np.int64), np.array([multiple]), nacked=found.method == NACK)
