"""For clients that take messages one at a time: each is stamped and timed alone, the books are written in bulk.

Writing the books costs a stock client some two microseconds a message, which is little beside what it costs itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from loadtest.engine import stamps
from loadtest.engine.consumption import Consumption
from loadtest.engine.deliveries import Deliveries
from loadtest.engine.ledger import Outcome
from loadtest.engine.publications import Publications
from loadtest.engine.stamps import STAMP

_BULK = 256


class SingleSends:
    """What a producer sends, message by message."""

    def __init__(self, account: Publications) -> None:
        self._account = account
        self._filler = stamps.filler(account.plan.size)
        self._intended_ns: list[int] = []
        self._sent_ns: list[int] = []
        self._answers: dict[Outcome, list[int]] = {outcome: [] for outcome in account.book.counts}
        self._confirmed_ns: list[int] = []

    def due(self, room: int) -> Iterator[tuple[int, bytes]]:
        """Number and body of each message that may go now, at most so many; taken is sent."""
        due = self._account.due(room)
        if due is None:
            return
        task, scheduled = self._account.task, self._account.has_schedule
        first = self._account.book.count
        for sequence, planned_ns in enumerate(due.tolist(), start=first):
            now_ns = time.monotonic_ns()
            intended_ns = planned_ns if scheduled else now_ns
            self._intended_ns.append(intended_ns)
            self._sent_ns.append(now_ns)
            head = stamps.packed(
                run=task.run, producer=task.number, sequence=sequence, intended_ns=intended_ns, sent_ns=now_ns
            )
            yield sequence, head + self._filler

    def answered(self, sequence: int, outcome: Outcome) -> None:
        """The broker's word on a message has come just now."""
        if outcome == Outcome.CONFIRMED:
            self._confirmed_ns.append(time.monotonic_ns())
        self._answers[outcome].append(sequence)

    def write(self) -> None:
        """Put all of it into the books; before the next `due`, and before a connection counts as lost."""
        account = self._account
        if self._sent_ns:
            intended_ns, sent_ns = np.array(self._intended_ns), np.array(self._sent_ns)
            account.book.send(intended_ns, at_ns=sent_ns)
            account.note_delay(sent_ns, intended_ns)
            self._intended_ns.clear()
            self._sent_ns.clear()
        for outcome, answers in self._answers.items():
            if answers:
                numbers = np.array(answers)
                account.book.answered(numbers, outcome)
                if outcome == Outcome.CONFIRMED:
                    account.note_confirms(numbers, np.array(self._confirmed_ns))
                answers.clear()
        self._confirmed_ns.clear()


class SingleReceipts:
    """What a consumer receives from one queue, message by message."""

    def __init__(self, account: Consumption, queue: str) -> None:
        self._account, self._queue = account, queue
        self._filler = stamps.filler(account.plan.size)
        self._heads: list[bytes] = []
        self._at_ns: list[int] = []
        self._clear()

    def take(self, body: bytes, *, tag: int, redelivered: bool | None) -> None:
        """A message has come just now."""
        self._count += 1
        self._last_tag = tag
        self._redelivered += bool(redelivered)
        if body[stamps.SIZE :] == self._filler:
            self._heads.append(body[: stamps.SIZE])
            self._at_ns.append(time.monotonic_ns())
        elif int.from_bytes(body[:4], "little") == stamps.MAGIC:
            self._corrupt += 1
        else:
            self._foreign += 1
        if self._count >= _BULK:
            self.write()

    def write(self) -> None:
        """Put all of it into the books; before a connection counts as lost."""
        if not self._count:
            return
        found = np.frombuffer(b"".join(self._heads), STAMP)
        at_ns, whole = np.array(self._at_ns, np.int64), stamps.is_whole(found)
        foreign = int(np.count_nonzero(found["magic"] != stamps.MAGIC))
        corrupt = int(np.count_nonzero(~whole)) - foreign
        if not whole.all():
            found, at_ns = found[whole], at_ns[whole]
        deliveries = Deliveries(
            found,
            self._last_tag,
            self._count,
            redelivered=self._redelivered,
            corrupt=self._corrupt + corrupt,
            foreign=self._foreign + foreign,
        )
        self._clear()
        self._account.take(deliveries, queue=self._queue, at_ns=at_ns)

    def _clear(self) -> None:
        self._heads.clear()
        self._at_ns.clear()
        self._count = self._last_tag = self._redelivered = self._corrupt = self._foreign = 0
