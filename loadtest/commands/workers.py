"""workers: where is the knee of my workers, and how many do I need?"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from labs.settings import get_settings
from loadtest.capacity import judged
from loadtest.commands import shared
from loadtest.commands.options import with_plan
from loadtest.commands.watching import Ticker
from loadtest.crew import Needed, Trial, counts_up_to, fewest, interleaved, means_of, overload
from loadtest.doing import do
from loadtest.engine.plan import Plan, PlanError
from loadtest.place import Place, place
from loadtest.results import Pending, Run
from loadtest.results.folder import RESULTS
from loadtest.results.plots import plot_workers
from loadtest.results.report import report_html
from loadtest.results.verdict import written
from loadtest.results.words import shown_ms
from loadtest.results.workers_curve import in_words
from loadtest.usl import Fit, fit

#: What a run costs beyond its load: queues, processes, and the quiet at its end.
_BESIDES_S = 3.0


@with_plan(
    without=("rate", "duration_s", "consumers", "shape", "trace"), work_ms=20.0, warmup_s=1.0, drain_s=15.0,
    arrivals="poisson",
)  # fmt: skip
def workers(
    plan: Plan,
    *,
    up_to: Annotated[int, typer.Option(min=3, max=64, help="Workers that are measured at most.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Runs with each number of workers.")] = 3,
    for_rate: Annotated[
        float | None, typer.Option(min=1, help="Messages per second for which the fewest workers are looked for.")
    ] = None,
    objective_ms: Annotated[
        float, typer.Option(min=0.1, help="What the 99th percentile from the intended time must not exceed then.")
    ] = 100.0,
    step_seconds: Annotated[float, typer.Option(min=2, help="Length of a run that measures.")] = 4.0,
    hold_seconds: Annotated[float, typer.Option(min=2, help="Length of a run that looks whether so many do.")] = 6.0,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="Runs in a row that must pass.")] = 2,
    max_workers: Annotated[int, typer.Option(min=1, max=200, help="The most that are tried for --for-rate.")] = 32,
    max_seconds: Annotated[float, typer.Option(min=3, help="No run begins that would end later.")] = 600.0,
    results: shared.Results = RESULTS,
    as_json: shared.AsJson = False,
) -> None:
    """Find the knee of workers that take --work-ms for each message: what further ones bring, and how many are needed.

    Each number of workers gets more than it can do, in several rounds; the Universal Scalability Law through these
    rates tells where a further worker brings less than half of what the first one does. With --for-rate the fewest
    workers are found that keep that rate and the objective: some that held, and one fewer that did not.

    Exit codes: 0 found; 1 no number of workers was enough, messages were lost, or the time was over; 2 could not run;
    130 interrupted.

    Examples:

        python -m loadtest workers --work-ms 20 --for-rate 300

        python -m loadtest workers --work-ms 20 --shared-ms 4 --up-to 12

        python -m loadtest workers --work-ms 5 --work exponential --prefetch 5 --for-rate 500 --objective-ms 50 --json
    """
    if not plan.work_ms:
        raise PlanError("give --work-ms: how long a worker takes for a message")
    with Pending(results, "workers") as pending, place(get_settings(), progress=shared.progress()) as where:
        finding = _Finding(plan, where, pending, objective_ms=objective_ms, max_seconds=max_seconds)
        counts = counts_up_to(up_to)
        shared.err.print(f"{where.name}: {len(counts) * rounds} runs, then the search", markup=False, soft_wrap=True)
        try:
            finding.measure(counts, rounds=rounds, seconds=step_seconds)
            if for_rate is not None:
                finding.search(for_rate, seconds=hold_seconds, repeats=repeats, most=max_workers)
        except KeyboardInterrupt:
            finding.interrupted = True
        if not finding.runs:
            raise KeyboardInterrupt
        told = finding.facts()
        pending.add_text("workers.json", json.dumps(told, indent=2))
        pending.add_text("report.html", finding.page(for_rate))
        if not as_json:
            finding.show()
        shared.tell_folder(pending.commit(), told if as_json else None)
    raise typer.Exit(shared.INTERRUPTED if finding.interrupted else finding.code(is_asked=for_rate is not None))


class _Finding:
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
