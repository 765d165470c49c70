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
from loadtest.engine.errors import LinkError, Refused
from loadtest.engine.histogram import Recorder
from loadtest.engine.ledger import Outcome, Sent
from loadtest.engine.plan import Task
from loadtest.engine.schedule import Times
from loadtest.engine.stamps import Stamps
from loadtest.engine.timetable import Timetable

_TICK_S = 0.5
#: The same refusal so often in a row, with nothing confirmed in between, and it will not change.
_MOST_REFUSALS = 3
#: The broker closes connections with these when it stops or fails: it may take the next one.
_PASSING = frozenset({320, 541})
#: Full speed: so many messages are made room for at first.
_ROOM = 1 << 20


class Publications:
    """Everything that one producer writes down, whatever its client."""

    def __init__(self, task: Task) -> None:
        self.task, self.plan = task, task.plan
        self._timetable = Timetable(task.plan, number=task.number)
        self.book = Sent(self._timetable.count or _ROOM)
        self.send_delay, self.confirm = Recorder(), Recorder()
        self.errors: list[str] = []
        #: Why it gave up, if it did.
        self.refused: str | None = None
        self._refusals: list[tuple[str, int]] = []
        self._blocked_s = 0.0
        self._blocked_at: float | None = None
        self._confirmed_ns = self._confirming_ns = 0

    def begin(self, start_ns: int) -> None:
        """The load starts at this moment of `time.monotonic_ns`."""
        self._timetable.begin(start_ns)
        self._warm_ns = start_ns + int(self.plan.warmup_s * 1e9)
        self._confirmed_ns = start_ns
        self._cpu, self._clock = CpuClock(), CpuClock()
        self._next_tick_s = time.monotonic() + _TICK_S

    @property
    def has_schedule(self) -> bool:
        """Whether messages have times of their own; else they go as fast as they can."""
        return self._timetable.has_moments

    @property
    def is_over(self) -> bool:
        """Whether there is no point in going on: the drain's time is over too, or it was refused."""
        return self.refused is not None or self._timetable.is_over

    @property
    def is_sent(self) -> bool:
        """Whether the whole schedule is sent."""
        return self._timetable.is_done(self.book.count)

    @property
    def is_answered(self) -> bool:
        """Whether nothing that was sent waits for a confirm."""
        return not self.book.outstanding or not self.plan.window

    def due(self, room: int) -> Times | None:
        """Intended times of what may go now, at most so many."""
        return self._timetable.due(room, sent=self.book.count)

    def until_next_s(self) -> float:
        """Seconds until something is due; below zero if it is late, infinite if nothing more will be."""
        return self._timetable.until_next_s(self.book.count)

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
        """Count how late messages went out; their intended times ascend."""
        delays_ns = sent_ns - intended_ns
        if intended_ns[0] < self._warm_ns:
            delays_ns = delays_ns[intended_ns >= self._warm_ns]
        self.send_delay.record(delays_ns)

    def settle(self, answer: Settled) -> None:
        """Write down confirms that have come just now."""
        settled = self.book.settle(answer)
        if not answer.nacked:
            self.note_confirms(settled, time.monotonic_ns())

    def note_confirms(self, sequences: NDArray[np.int64], at_ns: int | Times) -> None:
        """Count how long confirms took that came at these moments, which ascend."""
        if len(sequences):
            self._confirmed_ns = at_ns if isinstance(at_ns, int) else int(at_ns[-1])
        took_ns = at_ns - self.book.sent_ns[sequences]
        self._confirming_ns += int(took_ns.sum())
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
                self._timetable.cut_short(sent=self.book.count)

    def end(self) -> None:
        """Leave the books in a file, and tell that it is done."""
        self._tick()
        book, cpu_s = self.book, self._cpu.used_s
        offered = self._timetable.count if self.has_schedule else book.count
        np.savez(
            self.task.results,
            intended_ns=book.intended_ns[: book.count],
            sent_ns=book.sent_ns[: book.count],
            outcome=book.outcome[: book.count],
        )
        end_ns = self._timetable.end_ns
        end_ns = min(end_ns, time.monotonic_ns()) if self.refused else end_ns
        load_s = max(0.0, self._timetable.since_start_s(end_ns))
        tell("done", cpu_s=cpu_s, errors=self.errors, offered=offered, refused=self.refused, load_s=load_s)

    def _last_s(self, now_ns: int) -> dict[str, float]:
        """Until when messages were due, when the last was sent, and when the last confirm came."""
        timetable = self._timetable
        sent_ns = int(self.book.sent_ns[self.book.count - 1]) if self.book.count else timetable.start_ns
        last_ns = {"due": min(now_ns, timetable.end_ns), "sent": sent_ns, "confirmed": self._confirmed_ns}
        return {name: timetable.since_start_s(moment_ns) for name, moment_ns in last_ns.items()}

    def _tick(self) -> None:
        now_ns = time.monotonic_ns()
        blocked_s = time.monotonic() - self._blocked_at if self._blocked_at is not None else 0.0
        counts = self.book.counts
        tell(
            "tick",
            at_s=self._timetable.since_start_s(now_ns),
            last_s=self._last_s(now_ns),
            due=self._timetable.due_until(now_ns, sent=self.book.count),
            sent=self.book.count,
            confirmed=counts[Outcome.CONFIRMED],
            nacked=counts[Outcome.NACKED],
            returned=counts[Outcome.RETURNED],
            outstanding=self.book.outstanding,
            confirming_s=self._confirming_ns / 1e9,
            busy=self._clock.busy(),
            blocked_s=self._blocked_s + blocked_s,
            errors=len(self.errors),
            **facts_of(send_delay=self.send_delay.histogram, confirm=self.confirm.histogram),
        )
