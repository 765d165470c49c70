"""compare: does it make a difference, and how large a one?"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from labs.settings import get_settings
from loadtest.commands import shared
from loadtest.commands.options import with_plan
from loadtest.commands.watching import Ticker
from loadtest.compare import Comparison, compare
from loadtest.doing import do
from loadtest.engine.plan import Plan
from loadtest.place import Place, place
from loadtest.presets import QUESTIONS, variants_of
from loadtest.results import Pending, Run
from loadtest.results.folder import RESULTS
from loadtest.results.plots import plot_compare, plot_latencies
from loadtest.results.report import report_html

#: What a run costs beyond its load: queues, processes, and the quiet at its end.
_BESIDES_S = 3.0


@with_plan(rate=None, duration_s=5.0, warmup_s=1.0, drain_s=15.0)
def compare_(
    plan: Plan,
    *,
    what: Annotated[
        list[str],
        typer.Argument(
            help="A question: " + ", ".join(QUESTIONS) + ". Or two and more configurations: "
            "classic, quorum, stream, persistent, transient, fast, safe, or sets of key=value,key=value."
        ),
    ],
    rounds: Annotated[int, typer.Option(min=3, max=50, help="Rounds of each phase; more of them, a finer answer.")] = 5,
    results: shared.Results = RESULTS,
    as_json: shared.AsJson = False,
) -> None:
    """Run configurations interleaved on one broker, and say whether they differ, with a 95 % interval of the ratio.

    At full speed their rates are compared, then at one rate for all, half of the slowest, their latencies. With
    --rate there is but the second phase, at that rate. --duration is that of a single run.

    Exit codes: 0 no difference shown; 1 they differ, or messages were lost; 2 could not run; 130 interrupted.

    Examples:

        python -m loadtest compare safety

        python -m loadtest compare classic-or-quorum --size 10000 --rounds 8

        python -m loadtest compare prefetch=10 prefetch=500,ack_every=100 --rate 2000
    """
    variants = variants_of(what)
    for variant in variants:
        variant.of(plan)
    name = "compare-" + (what[0] if len(what) == 1 else "-or-".join(variant.name for variant in variants))
    with Pending(results, name) as pending, place(get_settings(), progress=shared.progress()) as where:
        runs = rounds * len(variants) * (2 if plan.rate is None else 1)
        minutes = runs * (plan.duration_s + _BESIDES_S) / 60
        shared.err.print(f"{where.name}: {runs} runs, about {minutes:.0f} min", markup=False, soft_wrap=True)
        doing = _Doing(where, pending, runs)
        done = compare(plan, variants, rounds=rounds, do=doing)
        if not doing.count:
            raise KeyboardInterrupt
        pending.add_text("comparison.json", json.dumps(facts(done), indent=2))
        pending.add_text("report.html", _page(done, name))
        if not as_json:
            shared.out.print(str(done), markup=False, soft_wrap=True)
        shared.tell_folder(pending.commit(), facts(done) if as_json else None)
    if done.interrupted:
        raise typer.Exit(shared.INTERRUPTED)
    serious = any(not each.run.integrity.is_whole for each in done.measured)
    differ = any(finding.differs for finding in done.findings)
    raise typer.Exit(shared.NOTICE if serious or differ else shared.FINE)


def _page(done: Comparison, name: str) -> str:
    charts = [plot_compare(done)] if done.findings else []
    if any(each.phase == "latency" for each in done.measured):
        charts.append(plot_latencies(done.merged("latency"), title="From the intended time, all rounds together"))
    runs = [each.run for each in done.measured]
    return report_html(runs, title=name, conclusion=str(done), charts=charts)


class _Doing:
    """Does one run after the other, keeps each, and says so."""

    def __init__(self, where: Place, pending: Pending, runs: int) -> None:
        self._where, self._pending, self._runs = where, pending, runs
        self.count = 0

    def __call__(self, plan: Plan, name: str) -> Run:
        with Ticker(plan) as ticker:
            run = do(plan, self._where, name=name, watch=ticker.show, command=shared.command_line())
        self.count += 1
        self._pending.add(run, part=name)
        if run.is_partial:
            raise KeyboardInterrupt
        rate, p99 = run.verdict["per_s"]["received"], run.quantile_ms("from_intended", 0.99)
        shared.err.print(
            f"{self.count:3d} of {self._runs}  {name}: {rate:,.0f}/s, p99 {p99:,.3g} ms, {run.verdict['limit']['by']}",
            markup=False,
            soft_wrap=True,
        )
        return run


def facts(done: Comparison) -> dict[str, Any]:
    """What is kept and what `--json` gives."""
    return {
        "variants": [{"name": variant.name, "changes": dict(variant.changes)} for variant in done.variants],
        "findings": [
            {**asdict(finding), "differs": finding.differs, "text": str(finding)} for finding in done.findings
        ],
        "warnings": done.warnings,
        "partial": done.interrupted,
        "runs": [
            {"name": each.run.name, "variant": each.variant, "phase": each.phase, "round": each.round,
             "per_s": each.per_s, "p99_ms": each.p99_ms if each.p99_ms < float("inf") else None}
            for each in done.measured
        ],
    }  # fmt: skip
