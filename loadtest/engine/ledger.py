"""What became of every single message: sent, confirmed, refused or returned; received, how often, in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.engine.confirms import Settled
from loadtest.engine.stamps import Stamps


class Outcome(IntEnum):
    """What the broker said of a message."""

    #: Not sent, or sent and never answered.
    NONE = 0
    CONFIRMED = 1
    NACKED = 2
    RETURNED = 3


class Sent:
    """A producer's book: one line for each message of its schedule, by sequence number.

    Args:
        capacity: messages to make room for; it grows if there are more.
    """

    def __init__(self, capacity: int) -> None:
        self.intended_ns = np.zeros(capacity, np.int64)
        self.sent_ns = np.zeros(capacity, np.int64)
        self.outcome = np.zeros(capacity, np.uint8)
        self._closed = np.zeros(capacity, np.bool_)
        self.count = 0
        #: How many messages have each outcome, but for `NONE`.
        self.counts = dict.fromkeys((Outcome.CONFIRMED, Outcome.NACKED, Outcome.RETURNED), 0)
        #: The first message of the present connection: the broker counts its tags from there.
        self._base = 0
        #: Everything of this connection before it is settled.
        self._low = 0
        self.outstanding = 0

    def send(self, intended_ns: NDArray[np.int64], *, at_ns: int | NDArray[np.int64]) -> NDArray[np.int64]:
        """Write down messages that go out, all at one moment or each at its own; returns their sequence numbers."""
        first, self.count = self.count, self.count + len(intended_ns)
        self._make_room(self.count)
        self.intended_ns[first : self.count] = intended_ns
        self.sent_ns[first : self.count] = at_ns
        self.outstanding += len(intended_ns)
        return np.arange(first, self.count)

    def settle(self, settled: Settled) -> NDArray[np.int64]:
        """Write down what the broker has answered; returns the sequence numbers that were open until now."""
        verdict = Outcome.NACKED if settled.nacked else Outcome.CONFIRMED
        end = self._end_of_next(settled)
        if end is not None:
            return self._close_next(end, verdict)
        numbers = np.array(settled.tags, np.int64) - 1 + self._base
        multiple = np.array(settled.multiple, np.bool_)
        singles = numbers[~multiple]
        opened = [singles[(singles < self.count) & self._is_open(singles)]]
        if multiple.any():
            last = min(int(numbers[multiple].max()) + 1, self.count)
            upto = np.arange(self._low, max(last, self._low))
            opened.append(upto[self._is_open(upto)])
        return self._close(_ascending(np.concatenate(opened)), verdict)

    def _end_of_next(self, settled: Settled) -> int | None:
        """Where an answer ends that is the usual one: to the next messages, all open and none returned; else None."""
        if len(settled.tags) != 1:
            return None
        end = settled.tags[0] + self._base
        if not self._low < end <= self.count or not (settled.multiple[0] or end == self._low + 1):
            return None
        is_plain = not (self._closed[self._low : end].any() or self.outcome[self._low : end].any())
        return end if is_plain else None

    def _close_next(self, end: int, outcome: Outcome) -> NDArray[np.int64]:
        """The next messages, all in one piece."""
        first, count = self._low, end - self._low
        self.outcome[first:end] = outcome
        self._closed[first:end] = True
        self.counts[outcome] += count
        self.outstanding -= count
        self._low = end
        self._skip_closed()
        return np.arange(first, end)

    def answered(self, sequences: NDArray[np.int64], outcome: Outcome) -> NDArray[np.int64]:
        """Write down what became of messages of this connection; returns those that were open until now."""
        return self._close(_ascending(sequences[self._is_open(sequences)]), outcome)

    def _close(self, new: NDArray[np.int64], outcome: Outcome) -> NDArray[np.int64]:
        kept: NDArray[np.int64] = new[self.outcome[new] == Outcome.NONE]
        self.outcome[kept] = outcome
        self.counts[outcome] += len(kept)
        self._closed[new] = True
        self.outstanding -= len(new)
        self._skip_closed()
        return kept

    def _skip_closed(self) -> None:
        while self._low < self.count and self._closed[self._low]:
            ahead = self._closed[self._low : min(self._low + 4096, self.count)]
            self._low += len(ahead) if ahead.all() else int(np.argmin(ahead))

    def returned(self, sequence: int) -> None:
        """Write down that the broker could not route a message; its ack will come, and confirm nothing."""
        if self.outcome[sequence] == Outcome.NONE:
            self.outcome[sequence] = Outcome.RETURNED
            self.counts[Outcome.RETURNED] += 1

    def reconnected(self) -> None:
        """A new connection: the broker counts anew, and what is open stays without an answer."""
        self._base = self._low = self.count
        self.outstanding = 0

    def _is_open(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        inside = np.minimum(numbers, len(self._closed) - 1)
        return np.asarray(~self._closed[inside])

    def _make_room(self, wanted: int) -> None:
        if wanted <= len(self.sent_ns):
            return
        more = max(wanted, 2 * len(self.sent_ns))
        for name in ("intended_ns", "sent_ns", "outcome", "_closed"):
            old: NDArray[Any] = getattr(self, name)
            grown = np.zeros(more, old.dtype)
            grown[: len(old)] = old
            setattr(self, name, grown)


def _ascending(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each number once, in order: as a broker nearly always answers, so that there is nothing to sort."""
    return numbers if (numbers[1:] > numbers[:-1]).all() else np.unique(numbers)


@dataclass
class Received:
    """A consumer's book of one producer's messages: how often each came."""

    times: NDArray[np.uint8]
    #: Messages that came after a later one, on the same connection and from the same queue.
    out_of_order: int = 0
    #: By queue, the latest message of the present connection.
    last: dict[str, int] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> Received:
        return cls(np.zeros(1 << 16, np.uint8))

    def take(self, sequences: NDArray[np.int64], *, queue: str = "") -> None:
        """Write down messages of one queue in the order in which they came."""
        most = int(sequences.max())
        if most >= len(self.times):
            grown = np.zeros(max(most + 1, 2 * len(self.times)), np.uint8)
            grown[: len(self.times)] = self.times
            self.times = grown
        before = np.maximum.accumulate(np.concatenate([[self.last.get(queue, -1)], sequences[:-1]]))
        late = sequences <= before
        if late.any():
            self.out_of_order += int(np.count_nonzero(late))
            # Past 255 it no longer matters how often.
            counts = self.times[sequences].astype(np.int64)
            np.add.at(self.times, sequences[counts < 255], 1)
        else:
            self.times[sequences] += 1
        self.last[queue] = max(self.last.get(queue, -1), most)


class Books:
    """A consumer's books, one for each producer of its run."""

    def __init__(self, run: int) -> None:
        self._run = run
        self.received: dict[int, Received] = {}
        #: Messages of another run: they lay in the queue already.
        self.strange = 0

    def take(self, stamps: Stamps, *, queue: str = "") -> NDArray[np.bool_]:
        """Write down what came from a queue; returns which of it belongs to this run."""
        ours: NDArray[np.bool_] = stamps["run"] == self._run
        if not ours.all():
            self.strange += int(np.count_nonzero(~ours))
            stamps = stamps[ours]
        if not len(stamps):
            return ours
        producers, sequences = stamps["producer"], stamps["sequence"]
        first = int(producers[0])
        if (producers == first).all():
            self._of(first).take(sequences, queue=queue)
            return ours
        for producer in np.unique(producers).tolist():
            self._of(producer).take(sequences[producers == producer], queue=queue)
        return ours

    def _of(self, producer: int) -> Received:
        if producer not in self.received:
            self.received[producer] = Received.empty()
        return self.received[producer]

    def reconnected(self) -> None:
        """A new connection: order is promised within one alone."""
        for book in self.received.values():
            book.last.clear()
