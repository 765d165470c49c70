"""Sends one real cover letter through a running lab and shows all of its way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from labs.errors import LabError
from labs.store.database import Database
from labs.store.trace import TracedStep, trace

_TIMEOUT_S = 120.0
#: Until the e-mail and the analytics of the completion have happened.
_EVENTS_TIMEOUT_S = 15.0
_EVENT_EFFECTS = 2


@dataclass(frozen=True)
class Application:
    """What a letter is written from."""

    job_description: str
    cv_text: str


def sample_application() -> Application:
    """The application that ships with the lab."""
    samples = resources.files("labs.samples")
    return Application(
        samples.joinpath("job_description.txt").read_text(encoding="utf-8"),
        samples.joinpath("cv.txt").read_text(encoding="utf-8"),
    )


class DemoFailed(LabError):
    """The letter did not come."""


def run_demo(console: Console, *, api_url: str, database_url: str, token: str) -> None:
    """Post the sample application, follow it, and show letter and trace.

    Raises:
        DemoFailed: the API refused it, or the job did not complete.
    """
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=api_url, headers=headers, timeout=_TIMEOUT_S, trust_env=False) as http:
        job_id = _post(console, http)
        job = _follow(console, http, job_id)
    if job["status"] != "completed":
        raise DemoFailed(f"the job ended as {job['status']}: {job.get('errorMessage')}; see `python -m labs dlq list`")
    console.print(Panel(job["coverLetter"], title="the letter", padding=(1, 2)))
    console.print(trace_table(asyncio.run(_whole_trace(database_url, job_id)), job_id))


def _post(console: Console, http: httpx.Client) -> str:
    application = sample_application()
    body = {"jobDescription": application.job_description, "cvText": application.cv_text, "tone": "professional"}
    console.print("\n[bold]POST /api/cover-letter[/bold] with the sample job description and CV")
    started = time.perf_counter()
    response = http.post("/api/cover-letter", json=body)
    took_ms = (time.perf_counter() - started) * 1000
    if response.status_code != 202:
        raise DemoFailed(f"the API answered {response.status_code}: {response.text[:300]}")
    accepted = response.json()
    console.print(f"  [green]202 Accepted[/green] after {took_ms:.0f} ms: {json.dumps(accepted)}")
    return str(accepted["jobId"])


def _follow(console: Console, http: httpx.Client, job_id: str) -> dict[str, Any]:
    console.print(f"[bold]GET /api/cover-letter/status/{job_id}/events[/bold]")
    started = time.perf_counter()
    job: dict[str, Any] = {}
    with http.stream("GET", f"/api/cover-letter/status/{job_id}/events") as stream:
        for job in _events(stream.iter_lines()):
            console.print(f"  {time.perf_counter() - started:6.2f} s  [cyan]{job['status']}[/cyan]")
    return job


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))


async def _whole_trace(database_url: str, job_id: str) -> list[TracedStep]:
    """The trace, once the events of the completion have been handled, or after a while without."""
    deadline = time.monotonic() + _EVENTS_TIMEOUT_S
    async with Database(database_url, name="demo", pool=1) as database:
        while True:
            steps = await trace(database, job_id)
            handled = sum(step.what == "event handled" for step in steps)
            if handled >= _EVENT_EFFECTS or time.monotonic() > deadline:
                return steps
            await asyncio.sleep(0.05)


def trace_table(steps: list[TracedStep], job_id: str) -> Table:
    """A trace as one screen: when, how long after the step before, what, where."""
    table = Table(title=f"the way of job {job_id}", title_justify="left")
    table.add_column("ms", justify="right")
    table.add_column("+ms", justify="right", style="cyan")
    table.add_column("what happened")
    table.add_column("where", style="dim", overflow="fold")
    before: datetime | None = None
    for step in steps:
        since_start = (step.at - steps[0].at).total_seconds() * 1000
        since_before = (step.at - before).total_seconds() * 1000 if before else 0.0
        table.add_row(f"{since_start:.0f}", f"{since_before:.1f}", step.what, step.where)
        before = step.at
    return table
