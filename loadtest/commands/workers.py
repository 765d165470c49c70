"""workers: where is the knee of my workers, and how many do I need?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from labs.settings import get_settings
from loadtest.commands import shared
from loadtest.commands.finding import Finding
from loadtest.commands.options import with_plan
from loadtest.crew import counts_up_to
from loadtest.engine.plan import Plan, PlanError
from loadtest.place import place
from loadtest.results import Pending
from loadtest.results.folder import RESULTS


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
        finding = Finding(plan, where, pending, objective_ms=objective_ms, max_seconds=max_seconds)
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
