"""A producer's account: what is due, what was sent, what the broker said of it, and how long all that took.

It is the same for every client, so that their figures can be compared: a message that is not sent or not answered at
the end is in the books as such, and a broker that refuses again and again what is published ends the run.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from loadtest.engine import stamps
from loadtest.engine.child import CpuClock, facts_of, tell, told_to_stop
from loadtest.engine.confirms import Settled
from loadtest.engine.histogram import Recorder
from loadtest.engine.ledger import Outcome, Sent
from loadtest.engine.plan import Task
from loadtest.engine.schedule import Times, share
from loadtest.engine.stamps import Stamps
from loadtest.engine.wire import LinkError, Refused

_TICK_S = 0.5
#: The same refusal so often in a row, with nothing confirmed in between, and it will not change.
_MOST_REFUSALS = 3
#: The broker closes connections with these when it stops or fails: it may take the next one.
_PASSING = frozenset({320, 541})
#: Told to stop, a producer waits so long for what it has already sent.
_STOP_S = 2.0
#: Full speed: so many messages are made room for at first.
_ROOM = 1 << 20


class Publications:
    """Everything that one producer writes down, whatever its client."""

    def __init__(self, task: Task) -> None:
        self.task, self.plan = task, task.plan
        moments = task.plan.moments()
        self._moments = None if moments is None else share(moments, part=task.number, parts=task.plan.producers)
        self.offered = 0 if self._moments is None else len(self._moments)
        self.book = Sent(self.offered or _ROOM)
        self.send_delay, self.confirm = Recorder(), Recorder()
        self.errors: list[str] = []
        #: Why it gave up, if it did.
        self.refused: str | None = None
        self._refusals: list[tuple[str, int]] = []
        self._blocked_s = 0.0
        self._blocked_at: float | None = None

    def begin(self, start_ns: int) -> None:
        """The load starts at this moment of `time.monotonic_ns`."""
        self._start_ns = start_ns
        self._warm_ns = start_ns + int(self.plan.warmup_s * 1e9)
        self._end_ns = start_ns + int(self.plan.duration_s * 1e9)
        self._last_ns = self._end_ns + int(self.plan.drain_s * 1e9)
        self._cpu, self._clock = CpuClock(), CpuClock()
        self._next_tick_s = time.monotonic() + _TICK_S

    @property
    def has_schedule(self) -> bool:
        """Whether messages have times of their own; else they go as fast as they can."""
        return self._moments is not None

    @property
    def is_over(self) -> bool:
        """Whether there is no point in going on: the drain's time is over too, or it was refused."""
        return self.refused is not None or time.monotonic_ns() >= self._last_ns

    @property
    def is_sent(self) -> bool:
        """Whether the whole schedule is sent."""
        if self._moments is None:
            return time.monotonic_ns() >= self._end_ns
        return self.book.count >= len(self._moments)

    @property
    def is_answered(self) -> bool:
        """Whether nothing that was sent waits for a confirm."""
        return not self.book.outstanding or not self.plan.window

    def due(self, room: int) -> Times | None:
        """Intended times of what may go now, at most so many."""
        now_ns = time.monotonic_ns()
        if self._moments is None:
            return np.full(room, now_ns) if room > 0 and self._start_ns <= now_ns < self._end_ns else None
        first = self.book.count
        count = min(room, self._due_until(now_ns) - first)
        return self._moments[first : first + count] + self._start_ns if count > 0 else None

    def until_next_s(self) -> float:
        """Seconds until something is due; below zero if it is late, infinite if nothing more will be."""
        if self.is_sent:
            return float("inf")
        first_ns = 0 if self._moments is None else int(self._moments[self.book.count])
        return (self._start_ns + first_ns - time.monotonic_ns()) / 1e9

    def stamped(self, intended_ns: Times) -> Stamps:
        """Write down messages that go out now; returns their stamps."""
        now_ns = time.monotonic_ns()
        sequences = self.book.send(intended_ns, at_ns=now_ns)
        self.note_delay(now_ns, intended_ns)
        return stamps.stamp(
            run=self.task.run,
            producer=self.task.number,
            sequences=sequences,
            intended_ns=intended_ns,
            sent_ns=now_ns,
        )

    def note_delay(self, sent_ns: int | Times, intended_ns: Times) -> None:
        """Count how late messages went out."""
        self.send_delay.record((sent_ns - intended_ns)[intended_ns >= self._warm_ns])

    def settle(self, answer: Settled) -> None:
        """Write down confirms that have come just now."""
        settled = self.book.settle(answer)
        if not answer.nacked:
            self.note_confirms(settled, time.monotonic_ns())

    def note_confirms(self, sequences: NDArray[np.int64], at_ns: int | Times) -> None:
        """Count how long confirms took."""
        took_ns = at_ns - self.book.sent_ns[sequences]
        self.confirm.record(took_ns[self.book.intended_ns[sequences] >= self._warm_ns])

    def blocked(self) -> None:
        """The broker takes nothing for now (an alarm): a fact of a run, not an error."""
        self._blocked_at = time.monotonic()

    def unblocked(self) -> None:
        """It takes messages again."""
        if self._blocked_at is not None:
            self._blocked_s += time.monotonic() - self._blocked_at
            self._blocked_at = None

    def lost(self, error: LinkError) -> None:
        """The connection is lost: what was not answered stays so."""
        if str(error) not in self.errors[-1:]:
            self.errors.append(str(error))
        self.book.reconnected()
        if isinstance(error, Refused) and error.code not in _PASSING:
            self._refusals.append((str(error), self.book.counts[Outcome.CONFIRMED]))
            last = self._refusals[-_MOST_REFUSALS:]
            if len(last) == _MOST_REFUSALS and len(set(last)) == 1:
                self.refused = str(error)

    def tick_if_due(self) -> None:
        """Tell how far we are, now and then, and hear whether it is enough."""
        if time.monotonic() >= self._next_tick_s:
            self._next_tick_s += _TICK_S
            self._tick()
            if told_to_stop():
                self._cut_short()

    def end(self) -> None:
        """Leave the books in a file, and tell that it is done."""
        self._tick()
        book, cpu_s = self.book, self._cpu.used_s
        offered = book.count if self._moments is None else self.offered
        np.savez(
            self.task.results,
            intended_ns=book.intended_ns[: book.count],
            sent_ns=book.sent_ns[: book.count],
            outcome=book.outcome[: book.count],
        )
        tell("done", cpu_s=cpu_s, errors=self.errors, offered=offered, refused=self.refused)

    def _cut_short(self) -> None:
        """The schedule ends here; what was due by now and is not yet sent was offered all the same."""
        now_ns = time.monotonic_ns()
        if self._moments is not None and now_ns < self._end_ns:
            self.offered = self._due_until(now_ns)
            self._moments = self._moments[: self.book.count]
        self._end_ns = min(self._end_ns, now_ns)
        self._last_ns = min(self._last_ns, self._end_ns + int(_STOP_S * 1e9))

    def _due_until(self, now_ns: int) -> int:
        assert self._moments is not None
        return int(np.searchsorted(self._moments, now_ns - self._start_ns, "right"))

    def _tick(self) -> None:
        now_ns = time.monotonic_ns()
        blocked_s = time.monotonic() - self._blocked_at if self._blocked_at is not None else 0.0
        counts = self.book.counts
        tell(
            "tick",
            at_s=(now_ns - self._start_ns) / 1e9,
            due=self.book.count if self._moments is None else self._due_until(now_ns),
            sent=self.book.count,
            confirmed=counts[Outcome.CONFIRMED],
            nacked=counts[Outcome.NACKED],
            returned=counts[Outcome.RETURNED],
            outstanding=self.book.outstanding,
            busy=self._clock.busy(),
            blocked_s=self._blocked_s + blocked_s,
            errors=len(self.errors),
            **facts_of(send_delay=self.send_delay.histogram, confirm=self.confirm.histogram),
        )
