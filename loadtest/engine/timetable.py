"""What is due when, for one producer: a schedule of its own, or as fast as it can; and when all of it is over."""

from __future__ import annotations

import time

import numpy as np

from loadtest.engine.plan import Plan
from loadtest.engine.schedule import Times, share

#: Told to stop, a producer waits so long for what it has already sent.
_STOP_S = 5.0


class Timetable:
    """Moments of `time.monotonic_ns`; `begin` it before anything is due."""

    def __init__(self, plan: Plan, *, number: int) -> None:
        self._plan = plan
        moments = plan.moments()
        self._moments = None if moments is None else share(moments, part=number, parts=plan.producers)
        #: Messages that the schedule has; of one that was cut short, those that were due by then.
        self.count = 0 if self._moments is None else len(self._moments)

    def begin(self, start_ns: int) -> None:
        """The load starts at this moment."""
        self.start_ns = start_ns
        self.end_ns = start_ns + int(self._plan.duration_s * 1e9)
        if self._plan.shape == "replay" and self._moments is not None and len(self._moments):
            self.end_ns = start_ns + int(self._moments[-1])
        self._last_ns = self.end_ns + int(self._plan.drain_s * 1e9)

    @property
    def has_moments(self) -> bool:
        """Whether messages have times of their own; else they go as fast as they can."""
        return self._moments is not None

    @property
    def is_over(self) -> bool:
        """Whether the drain's time is over too."""
        return time.monotonic_ns() >= self._last_ns

    def is_done(self, sent: int) -> bool:
        """Whether so many messages are all that there were to send."""
        if self._moments is None:
            return time.monotonic_ns() >= self.end_ns
        return sent >= len(self._moments)

    def due(self, room: int, *, sent: int) -> Times | None:
        """Intended times of what may go now after so many that were sent, at most as many as there is room for."""
        now_ns = time.monotonic_ns()
        if room <= 0:
            return None
        if self._moments is None:
            return np.full(room, now_ns) if self.start_ns <= now_ns < self.end_ns else None
        coming = self._moments[sent : sent + room]
        count = int(np.searchsorted(coming, now_ns - self.start_ns, "right"))
        return coming[:count] + self.start_ns if count else None

    def due_until(self, now_ns: int, *, sent: int) -> int:
        """Messages that were due by then; without a schedule those that were sent."""
        if self._moments is None:
            return sent
        return int(np.searchsorted(self._moments, now_ns - self.start_ns, "right"))

    def until_next_s(self, sent: int) -> float:
        """Seconds until the next is due; below zero if it is late, infinite if nothing more will be."""
        if self.is_done(sent):
            return float("inf")
        next_ns = 0 if self._moments is None else int(self._moments[sent])
        return (self.start_ns + next_ns - time.monotonic_ns()) / 1e9

    def cut_short(self, *, sent: int) -> None:
        """It ends now; what was due by now and is not yet sent was offered all the same."""
        now_ns = time.monotonic_ns()
        if self._moments is not None and now_ns < self.end_ns:
            self.count = self.due_until(now_ns, sent=sent)
            self._moments = self._moments[:sent]
        self.end_ns = min(self.end_ns, now_ns)
        self._last_ns = min(self._last_ns, self.end_ns + int(_STOP_S * 1e9))

    def since_start_s(self, moment_ns: int) -> float:
        """A moment, in seconds since the start."""
        return (moment_ns - self.start_ns) / 1e9
