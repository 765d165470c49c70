"""up, down, status, demo, lab: everything at once."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import psycopg
import typer
from rich.table import Table

from labs.broker import Management, redacted
from labs.commands import shared
from labs.errors import BrokerError, DatabaseUnavailable
from labs.service.auth import make_token
from labs.settings import ROOT, get_settings
from labs.stack.demo import run_demo
from labs.stack.lab import Lab, Parts
from labs.store.database import Database
from labs.store.jobs import Jobs
from labs.systems.cover_letters.jobs import TABLE

Workers = Annotated[int, typer.Option(min=1, max=20, help="Worker processes.")]

_FIRST_NOTEBOOK = "notebooks/00_start.ipynb"
_JUPYTER_GRACE_S = 20.0


def up(workers: Workers = 1) -> None:
    """Start broker, database, stub model, API, relay and workers, and leave them running.

    Example: python -m labs up --workers 3
    """
    lab = shared.lab()
    if not lab.up(workers=workers):
        shared.err.print("it runs already: `python -m labs status` shows it")
    _print_urls(lab)


def down() -> None:
    """End everything that `up` started. Data stays in .lab/; `make clean` deletes it.

    Example: python -m labs down
    """
    if not shared.lab().down():
        shared.err.print("nothing ran")


def demo(workers: Workers = 1) -> None:
    """Start everything, send one cover letter through, show its way, and end everything.

    A lab that runs already is used, and left running.

    Example: python -m labs demo
    """
    lab = shared.lab()
    started = lab.up(workers=workers)
    try:
        _demo(lab)
    finally:
        if started:
            lab.down()


def lab_(
    workers: Workers = 1,
    port: Annotated[int, typer.Option(help="JupyterLab's port; the next free one if it is taken.")] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Start everything, show a demo, and open JupyterLab; Ctrl-C ends all of it.

    Example: python -m labs lab --no-browser
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lab = shared.lab()
    started = lab.up(workers=workers)
    try:
        _demo(lab)
        _print_urls(lab)
        _jupyter(port, browser=browser)
    finally:
        if started:
            # A second Ctrl-C must not leave half of it behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            lab.down()


def _jupyter(port: int, *, browser: bool) -> None:
    command = [sys.executable, "-m", "jupyterlab", _FIRST_NOTEBOOK, f"--port={port}", "--ip=127.0.0.1"]
    command += ["--allow-root"] + ([] if browser else ["--no-browser"])
    # Its own session: Ctrl-C is ours, and Jupyter would ask before it obeys.
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        process.wait()
    except KeyboardInterrupt:
        shared.err.print("\nending everything")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_JUPYTER_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _demo(lab: Lab) -> None:
    parts = lab.parts()
    api_url = parts.url("api") if parts else None
    if parts is None or api_url is None:
        raise shared.fail("the lab runs only in part: `python -m labs down`, then try again")
    token = make_token(get_settings(), user_id=1, email="you@example.com")
    run_demo(shared.out, api_url=api_url, database_url=parts.database_url, token=token)


def _print_urls(lab: Lab) -> None:
    parts = lab.parts()
    if parts is None:
        return
    api_url = parts.url("api")
    table = Table(show_header=False, box=None)
    table.add_row("API", f"{api_url}/docs")
    table.add_row("RabbitMQ UI", _ui(parts.broker.management_url))
    if stub_url := parts.url("stub"):
        table.add_row("stub model", f"{stub_url}/dials and {stub_url}/ledger")
    table.add_row("logs", str(lab.log_folder))
    table.add_row("a token", "python -m labs token")
    shared.err.print(table)


def _ui(management_url: str) -> str:
    parts = urlsplit(management_url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    # The private node and Compose are on loopback with documented credentials; others' are not ours to show.
    known = parts.username == "careerops"
    return f"{address} ({parts.username} / {parts.password})" if known else address


def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False) -> None:
    """Show what runs, where, which versions, how deep the queues are, and how many jobs there are.

    Exit code 0 if everything runs, 3 if not.

    Example: python -m labs status --json
    """
    lab = shared.lab()
    parts = lab.parts()
    if parts is None:
        raise shared.fail("the lab does not run: start it with `python -m labs up`", code=shared.NOT_RUNNING)
    facts = _facts(parts)
    if as_json:
        shared.out.print_json(json.dumps(facts))
    else:
        _print_status(facts)
    if not {"api", "relay", "worker"} <= {process["name"].split("-")[0] for process in facts["processes"]}:
        raise typer.Exit(shared.NOT_RUNNING)


def _facts(parts: Parts) -> dict[str, Any]:
    broker, database_url = parts.broker, parts.database_url
    vhost = unquote(urlsplit(broker.amqp_url).path.removeprefix("/")) or "/"
    queues: list[dict[str, Any]] | None = None
    try:
        with Management(broker.management_url) as management:
            queues = [
                {"name": queue.name, "messages": queue.messages, "consumers": queue.consumers}
                for queue in management.queues(vhost)
            ]
    except BrokerError as error:
        shared.err.print(f"no queue depths: {error}", markup=False)
    return {
        "broker": {"kind": broker.kind, "version": broker.version, "url": redacted(broker.amqp_url)},
        "database": {"url": redacted(database_url), **asyncio.run(_database_facts(database_url))},
        "processes": [
            {"name": record.name, "pid": record.pid, "url": record.url, "up_s": round(time.time() - record.created_s)}
            for record in parts.records
        ],
        "queues": queues,
    }


async def _database_facts(url: str) -> dict[str, Any]:
    try:
        async with Database(url, name="status", pool=1) as database:
            async with database.connection() as db:
                version = db.info.parameter_status("server_version")
            counts = await Jobs(database, TABLE).counts()
        return {"version": version, "jobs": {status.value: count for status, count in counts.items()}}
    except (DatabaseUnavailable, psycopg.Error) as error:
        return {"version": None, "jobs": None, "error": str(error).splitlines()[0]}


def _print_status(facts: dict[str, Any]) -> None:
    broker, database = facts["broker"], facts["database"]
    shared.out.print(f"[bold]broker[/bold]    RabbitMQ {broker['version']} ({broker['kind']}), {broker['url']}")
    shared.out.print(f"[bold]database[/bold]  PostgreSQL {database['version']}, {database['url']}")
    processes = Table("process", "pid", "up", "where")
    for process in facts["processes"]:
        processes.add_row(process["name"], str(process["pid"]), f"{process['up_s']} s", process["url"] or "")
    shared.out.print(processes)
    queues = Table("queue", "messages", "consumers")
    for queue in facts["queues"] or []:
        queues.add_row(queue["name"], str(queue["messages"]), str(queue["consumers"]))
    shared.out.print(queues)
    jobs = database["jobs"] or {}
    shared.out.print("[bold]jobs[/bold]      " + ", ".join(f"{count} {status}" for status, count in jobs.items()))
