"""A page about a trial that opens anywhere, also without a network: verdict, story, pictures, faults."""

from __future__ import annotations

import html
from collections.abc import Sequence

from labs.display.chart import Chart
from labs.display.page import image, page, table
from labs.display.trial import faults_seen, trial_latency, trial_timeline
from labs.trial.checker import Result
from labs.trial.folder import Manifest
from labs.trial.history import Event


def trial_charts(events: Sequence[Event], manifest: Manifest) -> dict[str, Chart]:
    """The pictures of a trial, by the name of their file."""
    return {
        "timeline": trial_timeline(events, title=f"{manifest.system}: what went on while what was broken"),
        "latency": trial_latency(events, title=f"{manifest.system}: how long each request took"),
    }


def trial_html(result: Result, manifest: Manifest, events: Sequence[Event], charts: Sequence[Chart]) -> str:
    """The page."""
    title = f"Trial of {manifest.system}: {result.verdict}"
    parts = [f'<p class="verdict">{html.escape(result.why)}</p>']
    if result.hint:
        parts.append(f"<p>{html.escape(result.hint)}</p>")
    if result.anomalies:
        parts += [
            "<h2>Anomalies</h2>",
            table(["anomaly", "times"], [[k, str(n)] for k, n in result.anomalies.items()]),
        ]
    if result.story:
        parts += ["<h2>What happened to the first one</h2>", f"<pre>{html.escape(chr(10).join(result.story))}</pre>"]
    parts += [image(chart) for chart in charts]
    faults = [
        [str(number), fault.name, f"{fault.begun_s:.2f}", f"{fault.healed_s:.2f}", fault.proof]
        for number, fault in enumerate(faults_seen(events), start=1)
    ]
    parts += ["<h2>Faults</h2>", table(["", "fault", "begun, s", "healed, s", "seen from outside"], faults)]
    parts += ["<h2>Counts</h2>", table(["what", "number"], [[k, f"{n:,}"] for k, n in result.counts.items()])]
    broker = f"RabbitMQ {manifest.broker} ({manifest.on})"
    run = f"seed {manifest.seed}, {manifest.seconds:g} s of load, {broker}, {manifest.started}"
    parts.append(f'<p class="faint">{html.escape(run)}; {len(events):,} events in history.jsonl</p>')
    return page(title, parts)
