"""capacity: how much can this broker take?"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from labs.settings import get_settings
from loadtest.capacity import Capacity, Goal, search
from loadtest.commands import shared
from loadtest.commands.options import with_plan
from loadtest.commands.watching import Ticker
from loadtest.doing import do
from loadtest.engine.plan import Plan
from loadtest.place import Place, place
from loadtest.results import Pending, Run
from loadtest.results.folder import RESULTS
from loadtest.results.plots import plot_capacity
from loadtest.results.report import report_html
from loadtest.results.verdict import written
from loadtest.results.words import little_in_words, shown_ms
from loadtest.step import Phase, Step, judged

#: What a run costs beyond its load: queues, processes, and the quiet at its end.
_BESIDES_S = 3.0


@with_plan(without=("rate", "duration_s", "shape", "trace"), warmup_s=1.0, drain_s=15.0)
def capacity(
    plan: Plan,
    *,
    objective_ms: Annotated[
        float, typer.Option(min=0.1, help="What the 99th percentile from the intended time must not exceed.")
    ] = 100.0,
    start: Annotated[float, typer.Option(min=1, help="Messages per second to begin with.")] = 1000.0,
    least: Annotated[float, typer.Option("--min", min=1, help="The lowest rate that is tried.")] = 10.0,
    most: Annotated[float, typer.Option("--max", min=1, help="The highest rate that is tried.")] = 1_000_000.0,
    precision: Annotated[float, typer.Option(min=0.01, max=1, help="Width of the interval, as a share of it.")] = 0.1,
    step_seconds: Annotated[float, typer.Option(min=3, help="Length of a step.")] = 8.0,
    hold_seconds: Annotated[float, typer.Option(min=3, help="Length of a run that confirms.")] = 20.0,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="Runs that confirm.")] = 2,
    max_seconds: Annotated[float, typer.Option(min=3, help="No step begins that would end later.")] = 300.0,
    results: shared.Results = RESULTS,
    as_json: shared.AsJson = False,
) -> None:
    """Find the highest rate that meets an objective, and say it as an interval: what held, and what failed.

    A step passes if 99 % of the rate was kept, the backlog did not grow, the 99th percentile met the objective, and
    nothing was lost. If the load generator was the limit it says so, rather than blame the broker.

    Exit codes: 0 an interval was found, and its lower end held; 1 none: no rate met the objective, the load generator
    was the limit, or the time was over; 2 could not run; 130 interrupted.

    Examples:

        python -m loadtest capacity --objective-ms 50

        python -m loadtest capacity --queue-type quorum --size 10000 --max-seconds 600

        python -m loadtest capacity --precision 0.05 --hold-seconds 60 --repeats 3 --json
    """
    goal = Goal(
        start=min(max(start, least), most), least=least, most=most, precision=precision,
        step_s=step_seconds, hold_s=hold_seconds, repeats=repeats,
    )  # fmt: skip
    with Pending(results, "capacity") as pending, place(get_settings(), progress=shared.progress()) as where:
        shared.err.print(f"{where.name}: at most {max_seconds:g} s of search", markup=False, soft_wrap=True)
        trying = _Trying(plan, where, pending, objective_ms=objective_ms, max_seconds=max_seconds)
        found = search(trying, goal, time_is_left=trying.time_is_left)
        if not trying.runs:
            raise KeyboardInterrupt
        pending.add_text("capacity.json", json.dumps(facts(found, objective_ms), indent=2))
        curve = plot_capacity(found, objective_ms=objective_ms)
        page = report_html(trying.runs, title="Capacity", conclusion=str(found), charts=[curve])
        pending.add_text("report.html", page)
        if not as_json:
            _show(found, trying.runs)
        shared.tell_folder(pending.commit(), facts(found, objective_ms) if as_json else None)
    if found.interrupted:
        raise typer.Exit(shared.INTERRUPTED)
    is_found = found.low is not None and found.complete and not found.client_bound
    raise typer.Exit(shared.FINE if is_found else shared.NOTICE)


class _Trying:
    """Tries rates, keeps each run, and says so."""

    def __init__(self, plan: Plan, where: Place, pending: Pending, *, objective_ms: float, max_seconds: float) -> None:
        self._plan, self._where, self._pending = plan, where, pending
        self._objective_ms = objective_ms
        self._deadline = time.monotonic() + max_seconds
        self.runs: list[Run] = []

    def time_is_left(self, seconds: float) -> bool:
        return time.monotonic() + seconds + _BESIDES_S <= self._deadline

    def __call__(self, rate: float, seconds: float, phase: Phase) -> Step:
        plan = self._plan.with_(rate=rate, duration_s=seconds)
        name = f"{len(self.runs) + 1:02d}-{phase}-{rate:.0f}"
        with Ticker(plan) as ticker:
            run = do(
                plan, self._where, name=name, objective_ms=self._objective_ms, watch=ticker.show,
                command=shared.command_line(),
            )  # fmt: skip
        self.runs.append(run)
        self._pending.add(run, part=name)
        if run.is_partial:
            raise KeyboardInterrupt
        step = judged(run, rate=rate, phase=phase, objective_ms=self._objective_ms)
        word = "passed" if step.passed else f"failed: {step.why}" + (" (client-bound)" if step.client_bound else "")
        shared.err.print(
            f"{phase:>8}  {rate:10,.0f}/s  p99 {shown_ms(written(step.p99_ms)):>6} ms  {word}", markup=False,
            soft_wrap=True,
        )  # fmt: skip
        return step


def facts(found: Capacity, objective_ms: float) -> dict[str, Any]:
    """What is kept and what `--json` gives."""
    return {
        "objective_ms": objective_ms,
        "low_per_s": found.low,
        "high_per_s": found.high,
        "client_bound": found.client_bound,
        "complete": found.complete,
        "partial": found.interrupted,
        "text": str(found),
        "steps": [{**asdict(step), "p99_ms": written(step.p99_ms)} for step in found.steps],
    }


def _show(found: Capacity, runs: list[Run]) -> None:
    table = Table("step", "offered /s", "kept", "p99 ms", "")
    for column in table.columns[1:4]:
        column.justify = "right"
    for step in found.steps:
        word = "[green]passed[/green]" if step.passed else f"[red]failed[/red]: {step.why}"
        table.add_row(step.phase, f"{step.rate:,.0f}", f"{step.kept:.1%}", shown_ms(written(step.p99_ms)), word)
    shared.out.print(table)
    held = [run for run, step in zip(runs, found.steps, strict=False) if step.phase == "hold" and step.passed]
    if held and (little := held[-1].verdict["little"]) is not None:
        shared.out.print(f"Little's law, in the last run that held: {little_in_words(little)}", soft_wrap=True)
    shared.out.print(f"[bold]capacity[/bold]  {found}", soft_wrap=True)
