"""Looks for the knee of workers, and for the fewest that keep a rate: does the runs, keeps each, and says so."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from rich.table import Table

from loadtest.commands import shared
from loadtest.commands.watching import Ticker
from loadtest.crew import Needed, Trial, fewest, interleaved, means_of, overload
from loadtest.doing import do
from loadtest.engine.plan import Plan
from loadtest.place import Place
from loadtest.results import Pending, Run
from loadtest.results.plots import plot_workers
from loadtest.results.report import report_html
from loadtest.results.verdict import written
from loadtest.results.words import shown_ms
from loadtest.results.workers_curve import in_words
from loadtest.step import judged
from loadtest.usl import Fit, fit

#: What a run costs beyond its load: queues, processes, and the quiet at its end.
_BESIDES_S = 3.0


class Finding:
    """Does the runs, keeps each, and says so."""

    def __init__(self, plan: Plan, where: Place, pending: Pending, *, objective_ms: float, max_seconds: float) -> None:
        self._plan, self._where, self._pending = plan, where, pending
        self._objective_ms = objective_ms
        self._deadline_s = time.monotonic() + max_seconds
        self._points: dict[int, list[float]] = {}
        self.runs: list[Run] = []
        self.needed: Needed | None = None
        self.interrupted = False

    def measure(self, counts: list[int], *, rounds: int, seconds: float) -> None:
        """What each number of workers can do."""
        for number, workers in enumerate(interleaved(counts, rounds=rounds)):
            if not self._time_is_left(seconds):
                return
            run = self._do(overload(self._plan, workers, seconds=seconds), f"{number + 1:02d}-speed-{workers}")
            per_s = run.verdict["per_s"]["received"]
            self._points.setdefault(workers, []).append(per_s)
            self._say(f"workers {workers:3d}  {per_s:8,.1f}/s  {run.verdict['limit']['text']}")

    def search(self, rate: float, *, seconds: float, repeats: int, most: int) -> None:
        """The fewest that keep a rate."""
        plan = self._plan.with_(rate=rate, duration_s=seconds)

        def attempt(workers: int) -> Trial:
            number = len(self.runs) + 1
            run = self._do(plan.with_(consumers=workers), f"{number:02d}-hold-{workers}", objective=True)
            step = judged(run, rate=rate, phase="hold", objective_ms=self._objective_ms)
            word = "enough" if step.passed else f"too few: {step.why}"
            self._say(f"workers {workers:3d}  {rate:8,.1f}/s  p99 {shown_ms(written(step.p99_ms))} ms  {word}")
            return Trial(workers, step.p99_ms, step.passed, step.why)

        # Fewer could not do it if each message took its time and nothing else.
        least = max(1, int(rate * self._plan.work_ms / 1000))
        found = self.fit
        start = (found.needed(rate) if found is not None else None) or least + 1
        self.needed = fewest(
            attempt, start=start, least=min(least, most), most=most, repeats=repeats,
            time_is_left=lambda: self._time_is_left(seconds),
        )  # fmt: skip

    @property
    def fit(self) -> Fit | None:
        """The law, as soon as there is enough for it."""
        return fit(self._points, seed=self._plan.seed) if len(self._points) >= 3 else None

    def facts(self) -> dict[str, Any]:
        """What is kept and what `--json` gives."""
        found = self.fit
        law = None
        if found is not None:
            names = ("one", "contention", "coherence")
            law = {**asdict(found.curve), "intervals": {name: found.interval(name) for name in names},
                   "knee": found.knee, "text": in_words(found)}  # fmt: skip
        needed = None
        if self.needed is not None:
            trials = [{**asdict(trial), "p99_ms": written(trial.p99_ms)} for trial in self.needed.trials]
            needed = {"enough": self.needed.enough, "too_few": self.needed.too_few, "text": str(self.needed),
                      "complete": self.needed.complete, "trials": trials}  # fmt: skip
        return {
            "per_s": {str(workers): {"mean": mean.middle, "low": written(mean.low), "high": written(mean.high),
                                     "runs": self._points[workers]}
                      for workers, mean in means_of(self._points).items()},
            "law": law, "needed": needed, "partial": self.interrupted,
            "warnings": self._warnings(),
        }  # fmt: skip

    def show(self) -> None:
        """The same for people."""
        table = Table("workers", "messages /s", "95 % interval", "each /s")
        for column in table.columns:
            column.justify = "right"
        for workers, mean in means_of(self._points).items():
            span = f"{mean.low:,.1f} to {mean.high:,.1f}" if mean.count > 1 else "-"
            table.add_row(f"{workers}", f"{mean.middle:,.1f}", span, f"{mean.middle / workers:,.1f}")
        shared.out.print(table)
        for line in self._conclusion().splitlines():
            shared.out.print(line, soft_wrap=True, markup=False)

    def page(self, wanted_per_s: float | None) -> str:
        """The report."""
        found = self.fit
        charts = []
        if found is not None:
            title = f"What workers do who take {self._plan.work_ms:g} ms for a message"
            charts.append(plot_workers(found, title=title, wanted_per_s=wanted_per_s))
        return report_html(self.runs, title="Workers", conclusion=self._conclusion(), charts=charts)

    def code(self, *, is_asked: bool) -> int:
        """The exit code of a search that was not interrupted."""
        found = self.needed is not None and self.needed.enough is not None and self.needed.complete
        is_whole = all(run.integrity.is_whole for run in self.runs)
        return shared.FINE if is_whole and self.fit is not None and (found or not is_asked) else shared.NOTICE

    def _conclusion(self) -> str:
        found = self.fit
        lines = in_words(found) if found is not None else ["too few runs for a law"]
        if self.needed is not None:
            lines.append(str(self.needed))
        if self.interrupted:
            lines.append("interrupted: only what was done by then counts")
        return "\n".join([*lines, *self._warnings()])

    def _warnings(self) -> list[str]:
        found = []
        others = sorted({
            run.manifest["arguments"]["consumers"] for run in self.runs
            if "-speed-" in run.name and run.verdict["limit"]["by"] != "workers"
        })  # fmt: skip
        if others:
            counts = ", ".join(str(each) for each in others)
            found.append(f"with {counts} workers something else than their time was the limit: see these runs")
        if any(not run.integrity.is_whole for run in self.runs):
            found.append("NOT WHOLE: messages were lost or changed")
        return found

    def _do(self, plan: Plan, name: str, *, objective: bool = False) -> Run:
        with Ticker(plan) as ticker:
            run = do(
                plan, self._where, name=name, watch=ticker.show, command=shared.command_line(),
                objective_ms=self._objective_ms if objective else None,
            )  # fmt: skip
        self.runs.append(run)
        self._pending.add(run, part=name)
        if run.is_partial:
            raise KeyboardInterrupt
        return run

    def _time_is_left(self, seconds: float) -> bool:
        return time.monotonic() + seconds + _BESIDES_S <= self._deadline_s

    @staticmethod
    def _say(text: str) -> None:
        shared.err.print(text, markup=False, soft_wrap=True)
