"""status: what runs, where, and how it is."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import psycopg
import typer
from rich.table import Table

from labs.broker import Management, redacted
from labs.commands import shared
from labs.errors import BrokerError, DatabaseUnavailable
from labs.processes import quiet
from labs.settings import get_settings
from labs.stack.lab import Lab, Parts
from labs.store.database import Database
from labs.store.jobs import Jobs, JobStatus
from labs.systems.registry import tables


def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False) -> None:
    """Show what runs, where, which versions, how deep the queues are, and how many jobs all systems have.

    Exit code 0 if everything runs, 3 if not.

    Example: python -m labs status --json
    """
    parts = Lab(get_settings(), progress=quiet).parts()
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
        shared.err.print(f"no queue depths: {error}", markup=False, soft_wrap=True)
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
            counts = [await Jobs(database, table).counts() for table in tables().values()]
        return {
            "version": version,
            "jobs": {status.value: sum(each[status] for each in counts) for status in JobStatus},
        }
    except (DatabaseUnavailable, psycopg.Error) as error:
        return {"version": None, "jobs": None, "error": str(error).splitlines()[0]}


def _print_status(facts: dict[str, Any]) -> None:
    broker, database = facts["broker"], facts["database"]
    shared.out.print(
        f"[bold]broker[/bold]    RabbitMQ {broker['version']} ({broker['kind']}), {broker['url']}", soft_wrap=True
    )
    shared.out.print(f"[bold]database[/bold]  PostgreSQL {database['version']}, {database['url']}", soft_wrap=True)
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
