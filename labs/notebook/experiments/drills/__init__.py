"""Failure drills on a real system: ten faults in an order that only the seed knows, diagnosed before they are named."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from labs.display import Chart, Picture, Table, bars, grid
from labs.llm.dials import Constant
from labs.notebook.experiments.drills.catalogue import CALM, ELEVENTH, TEN
from labs.notebook.experiments.drills.drill import Drill, run_drill
from labs.notebook.experiments.drills.faults import MODEL_MS, Fault
from labs.notebook.experiments.drills.load import Load
from labs.notebook.experiments.drills.metrics import DASHBOARD, Sample
from labs.notebook.experiments.drills.outcome import drained, every_letter_told_once
from labs.notebook.session import Notebook

__all__ = ["Drill", "Drills", "Sample", "dashboard", "every_letter_told_once"]

#: Marks the first sign of a drill.
_FIRST = "» "
#: Requests that no picture shows.
_WARM_UP = 10
#: While nothing is broken, no user waits so long.
_LATE_S = 1.0
_TRIES = 5


class Drills:
    """The drills of one system.

    Args:
        lab: started, with a broker and a database of its own.
        seed: decides the order.
        delays_ms: the waits of its retries.
    """

    def __init__(self, lab: Notebook, *, seed: int, delays_ms: tuple[int, ...]) -> None:
        self._lab = lab
        self._delays_ms = delays_ms
        self._faults = list(TEN)
        random.Random(seed).shuffle(self._faults)  # noqa: S311 - the same for every reader
        self._run: dict[int, Drill] = {}
        with lab.model as model:
            model.set_dials(latency=Constant(ms=MODEL_MS))

    async def calm(self) -> Drill:
        """A drill in which nothing breaks: what calm looks like, once every process has warmed up.

        A machine that is busy with everything else may not be calm: then it is tried again.
        """
        async with Load(self._lab) as load:
            await load.burst(_WARM_UP)
            await drained(self._lab, load.requests)
        return await self._calm_until_broken(CALM, number=0)

    async def run(self, number: int) -> Drill:
        """Break one part, 1 to 10, and let it heal; returns what was seen, in place of what an earlier run has seen."""
        drill = await run_drill(self._lab, self._faults[number - 1], number=number, delays_ms=self._delays_ms)
        self._run[number] = drill
        return drill

    @property
    def done(self) -> list[Drill]:
        """Those that were run, in the order of their numbers."""
        return [drill for _, drill in sorted(self._run.items())]

    async def eleventh(self) -> Drill:
        """One more, not among the ten; tried again if the machine was not calm before it began."""
        return await self._calm_until_broken(ELEVENTH, number=11)

    async def _calm_until_broken(self, fault: Fault, *, number: int) -> Drill:
        for _ in range(_TRIES):
            drill = await run_drill(self._lab, fault, number=number, delays_ms=self._delays_ms)
            before = [sample for sample in drill.samples if fault is CALM or sample.at_s < drill.broke_s]
            if all(sample.oldest_open_s < _LATE_S for sample in before):
                break
        return drill

    @property
    def recoveries(self) -> Chart:
        """For each fault: seconds until nobody waited too long any more, and the longest wait of one user."""
        values = {
            drill.fault.name: {
                "from the fault until the last late letter": drill.recovery_s,
                "the longest that one user waited": drill.longest_wait_s,
            }
            for drill in self.done
        }
        return bars(values, title="For how long users notice", unit="seconds")

    @property
    def table(self) -> Table:
        """Each fault, its first sign, what heals by itself, and after how many seconds."""
        rows = [(d.fault.name, d.first_sign, d.fault.heals, f"{d.recovery_s:.1f}") for d in self.done]
        return Table("fault", "first sign", "heals by itself", "seconds", rows=rows, right=("seconds",))

    @property
    def matrix(self) -> Picture:
        """Which figure moved in which drill, and after how many seconds; the first ones are marked."""
        cells = {}
        for drill in self.done:
            for number, sign in enumerate(drill.signs):
                cells[sign.metric.key, drill.fault.label] = f"{_FIRST if number == 0 else ''}{sign.first_s:.1f}"
        moved = {key for key, _ in cells}
        return grid(
            [metric.key for metric in DASHBOARD if metric.key in moved],
            [drill.fault.label for drill in self.done],
            cells,
            title="Which figure moved, and how many seconds after the fault",
            tones={word: "bad" if word.startswith(_FIRST) else "note" for word in cells.values()},
        )

    def caught_by(self, alert: Callable[[Sample], object]) -> dict[str, float]:
        """The faults in which an alert rule fires, and after how many seconds."""
        fired = {drill.fault.name: drill.fires_after_s(alert) for drill in self.done}
        return {fault: after_s for fault, after_s in fired.items() if after_s is not None}

    def judged(self, rules: Mapping[str, Callable[[Sample], object]], *, calm: Drill) -> Table:
        """For each alert rule, by name: how many faults it finds, after how long, and whether it fires in calm."""
        rows = []
        for name, rule in rules.items():
            after_s = sorted(self.caught_by(rule).values()) or [float("nan")]
            found = len(self.caught_by(rule))
            fires = "yes" if any(rule(sample) for sample in calm.samples) else "no"
            rows.append((name, found, f"{after_s[0]:.1f}", f"{after_s[-1]:.1f}", fires))
        head = ("rule", "finds of ten", "soonest, s", "latest, s", "fires in calm")
        return Table(*head, rows=rows, right=head[1:4])

    @property
    def verdict(self) -> str:
        """What became of all requests of all drills."""
        accepted = all(drill.outcome.accepted_all for drill in self.done)
        lost = sum(drill.outcome.lost for drill in self.done)
        twice = sum(drill.outcome.twice for drill in self.done)
        return f"drills: {len(self.done)}, every request accepted: {accepted}, jobs lost: {lost}, done twice: {twice}"


def dashboard() -> Table:
    """What the drills watch, and who tells it."""
    rows = [(metric.key, metric.name, metric.source) for metric in DASHBOARD]
    return Table("short name", "what it is", "who tells", rows=rows)
