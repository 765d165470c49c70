"""Finds the highest rate that meets an objective, as an interval: the highest that held, the lowest that failed.

A step passes if the broker took 99 % of what was offered, its backlog did not grow, the 99th percentile from the
intended time met the objective, and nothing was lost. One that failed, but not by far, is made once more: one failure
may be chance, and would be believed for the rest of the search. What passed at the end must pass again, longer and
several times, or the search goes on below it. If the load generator itself was the limit, the search says so: that
tells nothing of the broker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from loadtest.step import Phase, Step

#: A rate that did not hold is lowered by this.
_STEP_DOWN = 0.9
_MOST_STEPS = 40


@dataclass(frozen=True)
class Goal:
    """What a search looks for.

    Args:
        start: messages per second to begin with.
        least, most: bounds of the search.
        precision: the interval may be so wide, as a share of its lower end.
        step_s, hold_s: seconds of a step, and of a run that confirms.
        repeats: runs that confirm.
    """

    start: float = 1000.0
    least: float = 10.0
    most: float = 1_000_000.0
    precision: float = 0.1
    step_s: float = 8.0
    hold_s: float = 20.0
    repeats: int = 2


@dataclass(frozen=True)
class Capacity:
    """What was found.

    Args:
        low: the highest rate that passed, and held; None: not even the least one did.
        high: the lowest rate that failed; None: none did.
        client_bound: the load generator gave up first: the broker can do more than `low`.
        complete: the search came to its end within its time.
        interrupted: it was ended from outside.
        steps: everything that was tried, in order.
    """

    low: float | None
    high: float | None
    client_bound: bool
    complete: bool
    steps: tuple[Step, ...] = field(repr=False)
    interrupted: bool = False

    def __str__(self) -> str:
        if not self.steps:
            return "nothing was tried: " + (
                "interrupted" if self.interrupted else "there was no time for a single step"
            )
        if self.low is None:
            last = self.steps[-1]
            who = "; the load generator was the limit, not the broker" if self.client_bound else ""
            return f"no rate met the objective; at {last.rate:,.0f}/s: {last.why}{who}"
        if self.client_bound:
            return (
                f"at least {self.low:,.0f} messages/s; then the load generator was the limit, not the broker: "
                "add --producers or --consumers, or another machine"
            )
        end = "the search was interrupted" if self.interrupted else "the time was over before the search was"
        rest = "" if self.complete else f" ({end}: the interval is wide, or not held)"
        if self.high is None:
            return f"at least {self.low:,.0f} messages/s: nothing that was tried failed{rest}"
        return f"between {self.low:,.0f} and {self.high:,.0f} messages/s: the first held, the second failed{rest}"


#: Tries a rate for so many seconds.
Attempt = Callable[[float, float, Phase], Step]


def search(attempt: Attempt, goal: Goal, *, time_is_left: Callable[[float], bool] = lambda _: True) -> Capacity:
    """Bracket, bisect, hold; interrupted, it gives what is known by then.

    Args:
        attempt: tries a rate.
        time_is_left: whether a step of so many seconds may still be begun.
    """
    searching = _Search(attempt, goal, time_is_left)
    try:
        for part in (searching.bracket, searching.bisect, searching.hold):
            part()
            if searching.is_over:
                break
    except KeyboardInterrupt:
        return replace(searching.found(), interrupted=True, complete=False)
    return searching.found()


class _Search:
    def __init__(self, attempt: Attempt, goal: Goal, time_is_left: Callable[[float], bool]) -> None:
        self._attempt, self._goal, self._time_is_left = attempt, goal, time_is_left
        self._low: float | None = None
        self._high: float | None = None
        self._held = False
        self._client_bound = False
        self._steps: list[Step] = []
        self.is_over = False

    def found(self) -> Capacity:
        """What passed, unless the same or less failed later."""
        high = self._high or math.inf
        passed = [step.rate for step in self._steps if step.passed and step.rate < high]
        low = max(passed, default=None)
        return Capacity(low, self._high, self._client_bound, self._held, tuple(self._steps))

    def bracket(self) -> None:
        """From the start, double until one fails; or halve until one passes."""
        goal = self._goal
        for rate in _powers(goal.start, 2.0, goal.most):
            if not self._try(rate, goal.step_s, "bracket"):
                break
        if self._low is not None or self.is_over:
            return
        for rate in _powers(goal.start / 2, 0.5, goal.least):
            if self._try(rate, goal.step_s, "bracket") or self.is_over:
                return
        self.is_over = True

    def bisect(self) -> None:
        """Halve the interval until it is narrow enough."""
        while self._low is not None and self._high is not None and not self.is_over:
            if self._high <= self._low * (1 + self._goal.precision):
                return
            self._try(math.sqrt(self._low * self._high), self._goal.step_s, "bisect")

    def hold(self) -> None:
        """What passed must pass again, longer; or what is a little less."""
        rate = self._low or 0.0
        while rate >= self._goal.least and not self.is_over:
            if all(self._try(rate, self._goal.hold_s, "hold") for _ in range(self._goal.repeats)):
                self._held = True
                return
            rate *= _STEP_DOWN

    def _try(self, rate: float, seconds: float, phase: Phase) -> bool:
        """Whether it passes; one that fails by a little has a second chance."""
        for _ in range(2):
            if not self._time_is_left(seconds) or len(self._steps) >= _MOST_STEPS:
                self.is_over = True
                return False
            step = self._attempt(rate, seconds, phase)
            self._steps.append(step)
            if step.passed or not step.narrow:
                break
        self._note(step)
        return step.passed

    def _note(self, step: Step) -> None:
        if step.passed:
            self._low = max(self._low or 0.0, step.rate)
        elif step.client_bound:
            self._client_bound = True
            self._high = None
        else:
            self._high = min(self._high or math.inf, step.rate)


def _powers(start: float, factor: float, end: float) -> Iterator[float]:
    """Start, and on by a factor; the end itself is the last."""
    rate = start
    while (rate < end) if factor > 1 else (rate > end):
        yield rate
        rate *= factor
    yield end
