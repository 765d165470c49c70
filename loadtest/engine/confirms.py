"""Reads what a broker answers to a publisher: acks in a row, and everything else frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.engine import stamps
from loadtest.engine.frames import (
    ACK,
    ACK_FRAME,
    BODY,
    END,
    HEADER,
    HEARTBEAT,
    METHOD,
    NACK,
    RETURN,
    Frame,
    decoded,
    frames,
)
from loadtest.engine.inbox import Inbox


@dataclass(frozen=True)
class Settled:
    """Confirms in the order in which they came.

    Args:
        tags: delivery tags.
        multiple: for each, whether it stands for all before it too.
        nacked: whether the broker refused them.
    """

    tags: Sequence[int]
    multiple: Sequence[bool]
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
    """The acks that stand at the start of what has arrived: few, as one answers many messages, and of one length."""
    tags: list[int] = []
    multiple: list[bool] = []
    whole = len(inbox) // ACK_FRAME.size * ACK_FRAME.size
    for kind, _, _, method, tag, flag, end in ACK_FRAME.iter_unpack(inbox.data[:whole]):
        if kind != METHOD or method != ACK or end != END:
            break
        tags.append(tag)
        multiple.append(flag & 1 == 1)
    inbox.drop(len(tags) * ACK_FRAME.size)
    return Settled(tags, multiple) if tags else None


def _settled(found: Frame) -> Settled:
    tag = int.from_bytes(found.payload[4:12], "big")
    return Settled([tag], [bool(found.payload[12] & 1)], nacked=found.method == NACK)
