"""Results as people and scripts read them: tables in the terminal, and the same facts for JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest.results.run import Run
from loadtest.results.verdict import QUANTILES
from loadtest.results.words import LATENCIES, in_words, little_in_words, shown_ms


def run_facts(run: Run) -> dict[str, Any]:
    """What `--json` gives."""
    latency = {
        name: {key: value for key, value in summary.items() if key != "exact_ns"}
        for name, summary in run.verdict["latency"].items()
    }
    return {
        "name": run.name,
        "partial": run.is_partial,
        **{name: run.verdict[name] for name in ("limit", "is_whole", "objective", "per_s", "censored", "errors")},
        "latency": latency,
        "integrity": run.integrity.as_dict(),
    }


def show_run(console: Console, run: Run) -> None:
    """Rates, latencies, what became of the messages, and the verdict."""
    rates = run.verdict["per_s"]
    console.print("per second  " + ", ".join(f"{name} {value:,.0f}" for name, value in rates.items()))
    console.print(_latencies(run))
    console.print(f"messages  {in_words(run)}", soft_wrap=True)
    if (little := run.verdict["little"]) is not None:
        console.print(f"Little's law  {little_in_words(little)}", soft_wrap=True)
    for error in run.verdict["errors"]:
        console.print(Text(f"error  {error}", style="red"), soft_wrap=True)
    if (objective := run.verdict["objective"]) is not None:
        met = "[green]met[/green]" if objective["is_met"] else "[red]missed[/red]"
        console.print(f"objective  p99 from the intended time at most {objective['p99_ms']:g} ms: {met}")
    if run.is_partial:
        console.print("[yellow]partial[/yellow]  the run was cut short: these are its results until then")
    whole = "" if run.integrity.is_whole else "[red]not whole[/red], "
    console.print(f"[bold]verdict[/bold]  {whole}{run.verdict['limit']['text']}", soft_wrap=True)


def _latencies(run: Run) -> Table:
    table = Table("ms", *QUANTILES, "most")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, label in LATENCIES.items():
        summary = run.verdict["latency"][name]
        table.add_row(label, *(shown_ms(summary[f"{key}_ms"]) for key in [*QUANTILES, "max"]))
    return table
