"""One drill: load, a fault in the middle of it, the recovery; what moved, and what became of every request."""

from __future__ import annotations

import asyncio
import contextlib
import random
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from labs.display import Chart, Table, panels
from labs.notebook.experiments.drills import metrics
from labs.notebook.experiments.drills.faults import Fault
from labs.notebook.experiments.drills.load import ClientsProbe, Load
from labs.notebook.experiments.drills.metrics import DASHBOARD, Points, Sample, Sign, samples, signs
from labs.notebook.experiments.drills.outcome import Outcome, drained
from labs.notebook.experiments.drills.probes import probes_of
from labs.notebook.experiments.drills.sampler import Sampler
from labs.notebook.experiments.drills.site import Site
from labs.notebook.letters import NoAnswer, until
from labs.notebook.predictions import Prediction
from labs.notebook.session import Notebook

_PER_SECOND = 14.0
_CALM_S = 0.4
#: Users go on asking for so long after the fault was mended.
_AFTER_S = 0.2
#: A user who waits longer than that for a letter of 0.2 s has noticed something.
LATE_S = 0.8
_BACK_TIMEOUT_S = 40.0
_LETTERS = "abcd"
_TEXT_WIDTH = 95


@dataclass(frozen=True)
class Drill:
    """What was seen. All seconds are since the drill began, but `recovery_s`: since the fault began."""

    number: int
    fault: Fault
    series: Mapping[str, Points]
    broke_s: float
    mended_s: float
    outcome: Outcome
    recovery_s: float

    @property
    def signs(self) -> list[Sign]:
        """What moved, in the order in which it did."""
        return signs(self.series, broke_s=self.broke_s)

    @property
    def picture(self) -> Chart:
        """What moved, as it moved; the oldest open job in any case. It doesn't say what broke."""
        moved = {sign.metric for sign in self.signs} | {metrics.OLDEST}
        drawn = {metric.name: self.series[metric.name] for metric in DASHBOARD if metric in moved}
        shades = {"the fault": (self.broke_s, self.mended_s)} if self.number else {}
        return panels(drawn, title=f"Drill {self.number}: what broke?" if shades else "All is well", shades=shades)

    @property
    def flat(self) -> str:
        """What did not move, by short names."""
        moved = {sign.metric for sign in self.signs} | {metrics.OLDEST}
        names = ", ".join(metric.key for metric in DASHBOARD if metric not in moved)
        return textwrap.fill(f"did not move: {names}", width=_TEXT_WIDTH)

    @property
    def _answers(self) -> dict[str, str]:
        answers = [self.fault.name, *self.fault.instead]
        random.Random(self.number).shuffle(answers)  # noqa: S311 - the same for every reader
        return dict(zip(_LETTERS, answers, strict=True))

    def question(self) -> Prediction:
        """The diagnosis to make."""
        return Prediction("What broke?", **self._answers)

    @property
    def answer(self) -> str:
        """Its letter."""
        return next(letter for letter, answer in self._answers.items() if answer == self.fault.name)

    @property
    def samples(self) -> list[Sample]:
        """What an alert would have seen."""
        return samples(self.series)

    def fires_after_s(self, alert: Callable[[Sample], object]) -> float | None:
        """Seconds from the beginning of the fault until an alert rule fires; None: never."""
        return next((s.at_s - self.broke_s for s in self.samples if s.at_s >= self.broke_s and alert(s)), None)

    @property
    def longest_wait_s(self) -> float:
        """Of one user, from the first try to the letter."""
        return max((wait_s for _, wait_s in self.outcome.waits_s()), default=0.0)

    @property
    def first_sign(self) -> str:
        """What moved first."""
        found = self.signs
        return found[0].metric.name if found else "none"

    @property
    def verdict(self) -> str:
        """What became of the requests, in words that don't depend on their number."""
        found = self.outcome
        return f"every request accepted: {found.accepted_all}, jobs lost: {found.lost}, done twice: {found.twice}"

    @property
    def report(self) -> Table:
        """What moved, in which order, how far, and for how long."""
        head = ("moved after s", "what", "calm", "worst", "calm again after s")
        rows = [
            (
                f"{s.first_s:.1f}",
                s.metric.name,
                _short(s.calm),
                _short(s.worst),
                "" if s.back_s is None else f"{s.back_s:.1f}",
            )
            for s in self.signs
        ]
        return Table(*head, rows=rows, right=tuple(name for name in head if name != "what"))


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


async def run_drill(lab: Notebook, fault: Fault, *, number: int, delays_ms: tuple[int, ...]) -> Drill:
    """Run one: returns when everything has healed, or after a while in which it has not."""
    began, began_at = time.monotonic(), time.time()
    marks: list[float] = []

    def clock() -> float:
        return time.monotonic() - began

    consumers = len(lab.stack.of("worker"))
    async with Load(lab) as load:
        site = Site(lab, begins=lambda: marks.append(clock()), burst=load.burst_from_thread())
        with Sampler([*probes_of(lab, delays_ms=delays_ms), ClientsProbe(load)], clock=clock) as sampler:
            async with _users_asking(load):
                await asyncio.sleep(_CALM_S)
                async with _broken(fault, site):
                    await asyncio.sleep(fault.hold_s)
                marks.append(clock())
                await asyncio.sleep(_AFTER_S)
            outcome = await drained(lab, load.requests)
            await _all_back(sampler, consumers=consumers)
    broke_s, mended_s = marks
    late = [at - began_at - broke_s for at, wait_s in outcome.waits_s() if wait_s > LATE_S]
    return Drill(number, fault, sampler.series, broke_s, mended_s, outcome, max([0.0, *late]))


@contextlib.asynccontextmanager
async def _users_asking(load: Load) -> AsyncIterator[None]:
    """Users ask for the length of a block; it ends when all have been accepted, or nobody waits for that any more."""
    enough = asyncio.Event()
    asking = asyncio.create_task(load.run(per_second=_PER_SECOND, stop=enough))
    try:
        yield
        enough.set()
        await asyncio.wait([asking], timeout=_BACK_TIMEOUT_S)
    finally:
        asking.cancel()


@contextlib.asynccontextmanager
async def _broken(fault: Fault, site: Site) -> AsyncIterator[None]:
    """Break for the length of a block; in a thread, since it may take seconds, and the users don't wait."""
    manager = fault.inject(site)
    await asyncio.to_thread(manager.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


async def _all_back(sampler: Sampler, *, consumers: int) -> None:
    """Wait until every worker consumes again and nothing waits anywhere, so that the next drill begins in calm."""

    async def back() -> bool:
        newest = {name: points[-1][1] for name, points in sampler.series.items()}
        empty = not any(newest[metric.name] for metric in (metrics.OUTBOX, metrics.READY, metrics.RETRYING))
        up = newest[metrics.BROKER.name] and newest[metrics.DATABASE.name]
        return bool(empty and up and newest[metrics.CONSUMERS.name] == consumers and newest[metrics.OLDEST.name] == 0)

    with contextlib.suppress(NoAnswer):  # the picture shows it
        await until(back, what="calm", timeout_s=_BACK_TIMEOUT_S)
