"""run: one load, watched, judged, and kept."""

from __future__ import annotations

from typing import Annotated

import typer

from labs.settings import get_settings
from loadtest.commands import shared
from loadtest.commands.options import with_plan
from loadtest.commands.tables import run_facts, show_run
from loadtest.commands.watching import Ticker
from loadtest.doing import do
from loadtest.engine.plan import Plan
from loadtest.place import place
from loadtest.results import Pending, Run
from loadtest.results.folder import RESULTS
from loadtest.results.report import report_html


@with_plan()
def run(
    plan: Plan,
    *,
    name: Annotated[str, typer.Option(help="Of the run; part of the name of its folder.")] = "run",
    results: shared.Results = RESULTS,
    objective_ms: Annotated[
        float | None, typer.Option(min=0, help="What the 99th percentile from the intended time must not exceed.")
    ] = None,
    report: Annotated[bool, typer.Option(help="Write report.html beside the results.")] = True,
    as_json: shared.AsJson = False,
) -> None:
    """Offer a load to the broker, count every message, and say what limited it.

    The broker is that of LAB_AMQP_URL, or the lab's own, started if need be. The run has a virtual host of its own
    where it may make one. Ctrl-C ends it early; what there is is kept, marked partial.

    Exit codes: 0 all is well; 1 messages lost or changed, or the objective missed; 2 could not run; 130 interrupted.

    Examples:

        python -m loadtest run --rate 5000 --duration 20

        python -m loadtest run --rate max --queue-type quorum --size 10000 --name big-quorum

        python -m loadtest run --rate 2000 --arrivals poisson --objective-ms 50 --json
    """
    with Pending(results, name) as pending, place(get_settings(), progress=shared.progress()) as where:
        shared.err.print(f"{where.name}: {plan.duration_s:g} s of load", markup=False, soft_wrap=True)
        with Ticker(plan) as ticker:
            done = do(
                plan, where, name=name, objective_ms=objective_ms, watch=ticker.show, command=shared.command_line()
            )
        if not as_json:
            show_run(shared.out, done)  # before anything is written: a full disk doesn't take it away
        pending.add(done)
        if report:
            pending.add_text("report.html", report_html([done]))
        shared.tell_folder(pending.commit(), run_facts(done) if as_json else None)
    raise typer.Exit(_code(done))


def _code(done: Run) -> int:
    if done.is_partial:
        return shared.INTERRUPTED if not done.verdict["errors"] else shared.COULD_NOT
    objective = done.verdict["objective"]
    missed = objective is not None and not objective["is_met"]
    return shared.NOTICE if missed or not done.integrity.is_whole else shared.FINE
