"""How many workers: what each number of them can do, where more bring little, and how few are enough for a rate.

What so many can do is measured with more work than they can do, several times each and interleaved: whatever drifts
on the machine touches all numbers alike. Whether so many are enough for a rate is never read from a curve but tried,
and the answer has two sides: the number that held, each time, and the number that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from loadtest.engine.plan import Plan
from loadtest.intervals import Mean, mean_of

#: So much more is offered than so many workers could do if nothing held them up.
OVERLOAD = 1.2


def overload(plan: Plan, workers: int, *, seconds: float) -> Plan:
    """A run in which so many workers never wait for a message; what they leave is nobody's concern."""
    rate = OVERLOAD * workers * 1000 / plan.work_ms
    return plan.with_(rate=rate, consumers=workers, duration_s=seconds, arrivals="uniform", drain_s=0.0)


def counts_up_to(most: int) -> list[int]:
    """The numbers of workers that are measured: one, and on by doubling, with one between the last two."""
    counts = [1]
    while counts[-1] * 2 <= most:
        counts.append(counts[-1] * 2)
    return sorted({*counts, most, max(1, round(most * 0.75))})


def interleaved(counts: Sequence[int], *, rounds: int) -> Iterator[int]:
    """Every number once a round, forwards, then backwards."""
    for number in range(rounds):
        yield from counts if number % 2 == 0 else reversed(counts)


@dataclass(frozen=True)
class Trial:
    """So many workers, tried with a rate.

    Args:
        why: what they failed by; empty if they were enough.
    """

    workers: int
    p99_ms: float
    passed: bool
    why: str


@dataclass(frozen=True)
class Needed:
    """The answer.

    Args:
        enough: the fewest that were enough every time; None: not even the most were.
        too_few: the most that failed; None: none did.
        complete: the search came to its end.
    """

    enough: int | None
    too_few: int | None
    complete: bool
    trials: tuple[Trial, ...] = field(repr=False)

    def __str__(self) -> str:
        rest = "" if self.complete else " (the search is not complete)"
        if self.enough is None:
            last = max(self.trials, key=lambda trial: trial.workers, default=None)
            why = f": with {last.workers}, {last.why}" if last is not None else ""
            return f"no number of workers that was tried is enough{why}{rest}"
        held = [trial.p99_ms for trial in self.trials if trial.workers == self.enough and trial.passed]
        text = f"{self.enough} workers are enough (p99 {max(held):,.0f} ms at the most in {len(held)} runs)"
        failed = [trial for trial in self.trials if trial.workers == self.too_few and not trial.passed]
        return text + (f", {self.too_few} are not: {failed[-1].why}" if failed else "") + rest


#: Tries so many workers.
Attempt = Callable[[int], Trial]


def fewest(
    attempt: Attempt,
    *,
    start: int,
    most: int,
    repeats: int,
    least: int = 1,
    time_is_left: Callable[[], bool] = lambda: True,
) -> Needed:
    """The fewest workers that are enough: away from the start in growing steps, then halved down to one.

    Args:
        attempt: tries a number of them.
        start: the number to begin with, for example what a curve has promised.
        least, most: bounds of the search.
        repeats: runs in a row that a number must pass to be enough.
        time_is_left: whether a trial may still be begun.
    """
    searching = _Search(attempt, least=least, most=most, repeats=repeats, time_is_left=time_is_left)
    step, workers = 1, min(max(start, least), most)
    while workers not in searching.known and searching.tries(workers):
        step, workers = step * 2, searching.next_after(workers, step)
    return searching.found()


class _Search:
    def __init__(
        self, attempt: Attempt, *, least: int, most: int, repeats: int, time_is_left: Callable[[], bool]
    ) -> None:
        self._attempt, self._repeats, self._time_is_left = attempt, repeats, time_is_left
        self._least, self._most = least, most
        self._trials: list[Trial] = []
        #: Whether so many were enough.
        self.known: dict[int, bool] = {}
        self._is_complete = True

    @property
    def _too_few(self) -> int:
        return max((workers for workers, passed in self.known.items() if not passed), default=self._least - 1)

    @property
    def _enough(self) -> int:
        above = self._too_few
        passed = (workers for workers, passed in self.known.items() if passed and workers > above)
        return min(passed, default=self._most + 1)

    def tries(self, workers: int) -> bool:
        """Try so many; returns whether there was time for it."""
        for _ in range(self._repeats):
            if not self._time_is_left():
                self._is_complete = False
                return False
            self._trials.append(self._attempt(workers))
            if not self._trials[-1].passed:
                self.known[workers] = False
                return True
        self.known[workers] = True
        return True

    def next_after(self, workers: int, step: int) -> int:
        """What to try next; what is known already, if that is all."""
        low, high = self._too_few, self._enough
        if high - low <= 1:
            return workers
        if high > self._most:
            return min(low + step, self._most)
        if low < self._least:
            return max(high - step, self._least)
        return (low + high) // 2

    def found(self) -> Needed:
        too_few, enough = self._too_few, self._enough
        return Needed(
            enough=enough if enough <= self._most else None,
            too_few=too_few if too_few >= self._least else None,
            complete=self._is_complete,
            trials=tuple(self._trials),
        )


def means_of(points: Mapping[int, Sequence[float]]) -> dict[int, Mean]:
    """What each number of workers can do, with its 95 % interval."""
    return {workers: mean_of(values) for workers, values in sorted(points.items())}
