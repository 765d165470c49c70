"""Publishes a schedule: no message before its time, none forgotten, and its true delay written down.

A message that can't go when it is meant to, because the broker is slow to confirm or to read, goes as soon as it can
and keeps its intended time. What was not sent or not answered at the end is in the books as such. A broker that is
away is waited for; one that refuses again and again what is published is not.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from pamqp import commands

from loadtest.engine import stamps
from loadtest.engine.child import CpuClock, facts_of, tell, told_to_stop, wait_for_start
from loadtest.engine.confirms import ConfirmReader, Returned, Settled
from loadtest.engine.frames import PublishTemplate
from loadtest.engine.histogram import Histogram
from loadtest.engine.ledger import Outcome, Sent
from loadtest.engine.plan import Task
from loadtest.engine.schedule import Times, share
from loadtest.engine.wire import Link, LinkError, Refused, refuse_if_closed

#: Messages are gathered for so long at high rates: less would spend the CPU on system calls, and the broker needs it.
GATHER_S = 0.0005
_MOST_AT_ONCE = 256
#: Bytes that go out at once at the most; a large message goes alone.
_MOST_BYTES = 256 * 1024
_TICK_S = 0.5
_RECONNECT_S = 0.2
#: The same refusal so often in a row, with nothing confirmed in between, and it will not change.
_MOST_REFUSALS = 3
#: The broker closes connections with these when it stops or fails: it may take the next one.
_PASSING = frozenset({320, 541})
#: Told to stop, a producer waits so long for what it has already sent.
_STOP_S = 2.0
#: Full speed: so many messages are made room for at first.
_ROOM = 1 << 20


class Publishing:
    """One producer at work."""

    def __init__(self, task: Task, moments: Times | None) -> None:
        self._task, self._plan = task, task.plan
        self._moments = moments
        self.book = Sent(len(moments) if moments is not None else _ROOM)
        self.send_delay, self.confirm = Histogram(), Histogram()
        self.errors: list[str] = []
        #: Why it gave up, if it did.
        self.refused: str | None = None
        self._refusals: list[tuple[str, int]] = []
        self.offered = len(moments) if moments is not None else 0
        self.blocked_s = 0.0
        self._blocked_at: float | None = None
        self._batches = 0
        self._link: Link | None = None

    def connect(self) -> None:
        """Open the connection.

        Raises:
            LinkError: the broker doesn't answer, or refuses.
        """
        link = Link.open(self._task.url, name=f"load producer {self._task.number}")
        if self._plan.window:
            link.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
        self._reader = ConfirmReader()
        self._templates = [
            PublishTemplate(
                exchange="",
                routing_key=queue,
                size=self._plan.size,
                persistent=self._plan.persistent,
                frame_max=link.frame_max,
                most=max(1, min(_MOST_AT_ONCE, _MOST_BYTES // self._plan.size)),
                mandatory=self._plan.mandatory,
            )
            for queue in self._task.queues
        ]
        self._link = link

    def run(self, start_ns: int) -> None:
        """Publish until the schedule is done and answered, or its time and the drain's are over."""
        self._start_ns = start_ns
        self._warm_ns = start_ns + int(self._plan.warmup_s * 1e9)
        self._end_ns = start_ns + int(self._plan.duration_s * 1e9)
        self._last_ns = self._end_ns + int(self._plan.drain_s * 1e9)
        clock, next_tick_s = CpuClock(), time.monotonic() + _TICK_S
        while time.monotonic_ns() < self._last_ns and not self._is_done() and self.refused is None:
            try:
                self._step()
            except LinkError as error:
                self._lost(error)
            if time.monotonic() >= next_tick_s:
                next_tick_s += _TICK_S
                self._tick(clock)
                if told_to_stop():
                    self._cut_short()
        self._tick(clock)
        if self._moments is None:
            self.offered = self.book.count
        if self._link is not None:
            self._link.close()

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

    def _is_done(self) -> bool:
        over = self.book.count >= len(self._moments) if self._moments is not None else self._is_over()
        return over and (not self.book.outstanding or not self._plan.window) and not self._is_writing()

    def _is_over(self) -> bool:
        return time.monotonic_ns() >= self._end_ns

    def _is_writing(self) -> bool:
        return self._link is not None and self._link.pending

    def _step(self) -> None:
        if self._link is None:
            self.connect()
            assert self._link is not None
        if not self._link.pending:
            due = self._due(time.monotonic_ns())
            if due is not None:
                self._send(due)
        self._link.wait(self._wait_s())
        self._settle()

    def _due(self, now_ns: int) -> Times | None:
        """Intended times of what may go now."""
        template = self._templates[self._batches % len(self._templates)]
        room = template.most
        if self._plan.window:
            room = min(room, self._plan.window - self.book.outstanding)
            # A nearly full window: wait for some room, rather than to send one by one.
            if room < min(self._plan.window, template.most) // 4:
                return None
        if self._moments is None:
            return None if self._is_over() or room <= 0 else np.full(room, now_ns, np.int64)
        first = self.book.count
        due = self._due_until(now_ns) - first
        count = min(room, due)
        return self._moments[first : first + count] + self._start_ns if count > 0 else None

    def _send(self, intended_ns: Times) -> None:
        assert self._link is not None
        now_ns = time.monotonic_ns()
        template = self._templates[self._batches % len(self._templates)]
        self._batches += 1
        sequences = self.book.send(intended_ns, at_ns=now_ns)
        stamped = stamps.stamp(
            run=self._task.run,
            producer=self._task.number,
            sequences=sequences,
            intended_ns=intended_ns,
            sent_ns=now_ns,
        )
        self._link.send(template.stamped(stamped))
        self.send_delay.record(now_ns - intended_ns[intended_ns >= self._warm_ns])

    def _wait_s(self) -> float:
        """How long there is nothing to send."""
        full = self._plan.window and self.book.outstanding >= self._plan.window
        if self._is_writing() or full:
            return 0.05
        if self._moments is None:
            return GATHER_S if not self._is_over() else 0.05
        if self.book.count >= len(self._moments):
            return 0.05
        next_ns = int(self._moments[self.book.count]) + self._start_ns
        return min(0.05, max(GATHER_S if self._is_fast() else 0.0, (next_ns - time.monotonic_ns()) / 1e9))

    def _is_fast(self) -> bool:
        return (self._plan.rate or 0) / self._plan.producers > 1 / (4 * GATHER_S)

    def _settle(self) -> None:
        assert self._link is not None
        answers = self._reader.read(self._link.inbox)
        now_ns = time.monotonic_ns()
        for answer in answers:
            if isinstance(answer, Settled):
                settled = self.book.settle(answer)
                if not answer.nacked:
                    warm = settled[self.book.intended_ns[settled] >= self._warm_ns]
                    self.confirm.record(now_ns - self.book.sent_ns[warm])
            elif isinstance(answer, Returned):
                if answer.sequence is not None:
                    self.book.returned(answer.sequence)
            else:
                self._note(answer)

    def _note(self, method: Any) -> None:
        """Blocked and unblocked are facts of a run, not errors."""
        if isinstance(method, commands.Connection.Blocked):
            self._blocked_at = time.monotonic()
        elif isinstance(method, commands.Connection.Unblocked) and self._blocked_at is not None:
            self.blocked_s += time.monotonic() - self._blocked_at
            self._blocked_at = None
        else:
            refuse_if_closed(method)

    def _lost(self, error: LinkError) -> None:
        if str(error) not in self.errors[-1:]:
            self.errors.append(str(error))
        if self._link is not None:
            self._link.close()
        self._link = None
        self.book.reconnected()
        if isinstance(error, Refused) and error.code not in _PASSING:
            self._refusals.append((str(error), int(np.count_nonzero(self.book.outcome == Outcome.CONFIRMED))))
            last = self._refusals[-_MOST_REFUSALS:]
            if len(last) == _MOST_REFUSALS and len(set(last)) == 1:
                self.refused = str(error)
                return
        time.sleep(_RECONNECT_S)

    def _tick(self, clock: CpuClock) -> None:
        now_ns = time.monotonic_ns()
        counts = np.bincount(self.book.outcome[: self.book.count], minlength=len(Outcome))
        due = self.book.count
        if self._moments is not None:
            due = self._due_until(now_ns)
        blocked_s = self.blocked_s + (time.monotonic() - self._blocked_at if self._blocked_at is not None else 0.0)
        tell(
            "tick",
            at_s=(now_ns - self._start_ns) / 1e9,
            due=due,
            sent=self.book.count,
            confirmed=int(counts[Outcome.CONFIRMED]),
            nacked=int(counts[Outcome.NACKED]),
            returned=int(counts[Outcome.RETURNED]),
            outstanding=self.book.outstanding,
            busy=clock.busy(),
            blocked_s=blocked_s,
            errors=len(self.errors),
            **facts_of(send_delay=self.send_delay, confirm=self.confirm),
        )


def main(task: Task) -> None:
    """Run one producer, and leave its books in a file."""
    moments = task.plan.moments()
    if moments is not None:
        moments = share(moments, part=task.number, parts=task.plan.producers)
    publishing = Publishing(task, moments)
    try:
        publishing.connect()
    except LinkError as error:
        tell("failed", reason=str(error))
        sys.exit(1)
    start_ns = wait_for_start()
    cpu = CpuClock()
    publishing.run(start_ns)
    book = publishing.book
    np.savez(
        task.results,
        intended_ns=book.intended_ns[: book.count],
        sent_ns=book.sent_ns[: book.count],
        outcome=book.outcome[: book.count],
    )
    tell(
        "done",
        cpu_s=cpu.used_s,
        errors=publishing.errors,
        offered=publishing.offered,
        refused=publishing.refused,
    )
