"""A page about runs that opens anywhere, also without a network: pictures, tables, verdicts, and what was run."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from labs.display.chart import Chart
from labs.display.page import image, page, table
from loadtest.results.latency import plot_latency
from loadtest.results.run import Run
from loadtest.results.timeline import plot_timeline
from loadtest.results.verdict import QUANTILES
from loadtest.results.words import LATENCIES, in_words, little_in_words, shown_ms


def report_html(runs: Sequence[Run], *, title: str | None = None, conclusion: str = "", charts: Sequence[Chart] = ()
                ) -> str:  # fmt: skip
    """The page.

    Args:
        runs: those it is about.
        title: default: the name of the run.
        conclusion: what all of them together say.
        charts: pictures of all of them together.
    """
    title = title or (runs[0].name if len(runs) == 1 else f"{len(runs)} runs")
    parts: list[str] = []
    if conclusion:
        parts.append(f'<p class="verdict">{html.escape(conclusion)}</p>'.replace("\n", "<br>"))
    parts += [image(chart) for chart in charts]
    if len(runs) > 1:
        parts += [image(plot_latency(*runs))] if len(runs) <= _MOST_CURVES else []
        parts.append(_overview(runs))
    if len(runs) <= _MOST_CURVES:
        parts += [_run(run, heading=len(runs) > 1) for run in runs]
    else:
        parts.append(_manifest(runs[0]))
    return page(title, parts)


#: More of them in one picture, or one page, tell nothing; each has a folder, and can have a page of its own.
_MOST_CURVES = 6


def _run(run: Run, *, heading: bool) -> str:
    verdict = run.verdict
    parts = [f"<h2>{html.escape(run.name)}</h2>"] if heading else []
    if run.is_partial:
        parts.append('<p class="verdict">Partial: the run was cut short; these are its results until then.</p>')
    whole = "Nothing was lost." if run.integrity.is_whole else "NOT WHOLE: messages were lost or changed."
    parts.append(f'<p class="verdict">{html.escape(verdict["limit"]["text"])}. {whole}</p>')
    if (objective := verdict["objective"]) is not None:
        met = "met" if objective["is_met"] else "MISSED"
        parts.append(f"<p>Objective: p99 from the intended time at most {objective['p99_ms']:g} ms: {met}.</p>")
    parts += [image(plot_timeline(run)), image(plot_latency(run)), _latencies(run)]
    parts.append(f"<p>Messages: {html.escape(in_words(run))}.</p>")
    if verdict["little"] is not None:
        parts.append(f"<p>Little's law: {html.escape(little_in_words(verdict['little']))}.</p>")
    parts += [f"<p>Error: {html.escape(error)}</p>" for error in verdict["errors"]]
    return "\n".join([*parts, _manifest(run)])


def _latencies(run: Run) -> str:
    rows = [
        [label, *(shown_ms(run.verdict["latency"][name][f"{key}_ms"]) for key in [*QUANTILES, "max"])]
        for name, label in LATENCIES.items()
    ]
    return table(["ms", *QUANTILES, "most"], rows, numbers=True)


def _overview(runs: Sequence[Run]) -> str:
    rows = [
        [
            run.name,
            *(f"{run.verdict['per_s'][name]:,.0f}" for name in ("offered", "confirmed", "received")),
            *(shown_ms(run.verdict["latency"]["from_intended"][f"{key}_ms"]) for key in ("p50", "p99", "p99.9")),
            f"{run.integrity.lost:,}",
            run.verdict["limit"]["by"],
        ]
        for run in runs
    ]
    head = ["run", "offered /s", "confirmed /s", "received /s", "p50 ms", "p99 ms", "p99.9 ms", "lost", "limited by"]
    return table(head, rows, numbers=True)


def _manifest(run: Run) -> str:
    manifest = run.manifest
    sections: dict[str, dict[str, Any]] = {
        "Arguments": manifest["arguments"],
        "Versions": manifest["versions"],
        "Machine": manifest["machine"],
        "Broker": manifest["broker"],
    }
    lines = [f"started {manifest['started']}, seed {manifest['seed']}"]
    if manifest["command"]:
        lines.append(f"command: {' '.join(manifest['command'])}")
    lines += [
        f"{name}: " + ", ".join(f"{key} {value}" for key, value in content.items())
        for name, content in sections.items()
    ]
    return '<pre class="faint">' + html.escape("\n".join(lines)) + "</pre>"
