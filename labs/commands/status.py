"""status: what runs, where, and how it is."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any

import psycopg
import typer
from rich.table import Table

from labs.broker import Depth, depths, redacted
from labs.commands import shared
from labs.errors import BrokerError, DatabaseUnavailable
from labs.messaging.topology import retry_queue
from labs.processes import quiet
from labs.settings import Settings, get_settings
from labs.stack.lab import Lab, Parts
from labs.store.database import Database
from labs.store.jobs import Reading
from labs.systems.registry import SYSTEMS, dead_letter_queues, services, tables, topology
from labs.systems.system import System


def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False) -> None:
    """Show what runs, where, which versions, and of each system its jobs, its queues and its dead letters.

    Exit code 0 if everything runs, 3 if not.

    Example: python -m labs status --json
    """
    parts = Lab(get_settings(), progress=quiet).parts()
    if parts is None:
        raise shared.fail("the lab does not run: start it with `python -m labs up`", code=shared.NOT_RUNNING)
    facts = _facts(parts, get_settings())
    if as_json:
        shared.out.print_json(json.dumps(facts))
    else:
        _print_status(facts)
    names = {process["name"] for process in facts["processes"]}
    if not {"api", "relay", "worker", *services()} <= names | {name.split("-")[0] for name in names}:
        raise typer.Exit(shared.NOT_RUNNING)


def _facts(parts: Parts, settings: Settings) -> dict[str, Any]:
    broker, database_url = parts.broker, parts.database_url
    found: dict[str, Depth] = {}
    try:
        found = depths(broker.amqp_url, [queue.name for queue in topology(settings).queues])
    except BrokerError as unknown:
        shared.err.print(f"no queue depths: {unknown}", markup=False, soft_wrap=True)
    version, jobs, error = asyncio.run(_database_facts(database_url))
    return {
        "broker": {"kind": broker.kind, "version": broker.version, "url": redacted(broker.amqp_url)},
        "database": {"url": redacted(database_url), "version": version, **({"error": error} if error else {})},
        "processes": [
            {"name": record.name, "pid": record.pid, "url": record.url, "up_s": round(time.time() - record.created_s)}
            for record in parts.records
        ],
        "systems": [
            {"name": system.name, "jobs": jobs.get(system.name), "queues": _queue_facts(system, settings, found)}
            for system in SYSTEMS
        ],
    }


def _queue_facts(system: System, settings: Settings, found: dict[str, Depth]) -> list[dict[str, Any]]:
    """Of each work queue: what waits for a consumer, what waits to be tried again, and what was given up."""
    dead_letters = dead_letter_queues(settings)

    def messages(*names: str) -> int | None:
        known = [found[name].messages for name in names if name in found]
        return sum(known) if known else None

    return [
        {
            "name": name,
            "ready": messages(name),
            "retrying": messages(*(retry_queue(name, delay_ms) for delay_ms in settings.retry_delays_ms)),
            "consumers": found[name].consumers if name in found else None,
            "deadLetterQueue": dead_letters[name],
            "deadLetters": messages(dead_letters[name]),
        }
        for name in system.queues
    ]


async def _database_facts(url: str) -> tuple[str | None, dict[str, dict[str, int]], str | None]:
    """Its version, the jobs by system and status, and what went wrong."""
    try:
        async with Database(url, name="status", pool=1) as database:
            async with database.connection() as db:
                version = db.info.parameter_status("server_version")
            counts = {name: await Reading(database, table).counts() for name, table in tables().items()}
    except (DatabaseUnavailable, psycopg.Error) as error:
        return None, {}, str(error).splitlines()[0]
    return version, {name: {status.value: n for status, n in each.items()} for name, each in counts.items()}, None


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
    queues = Table("system", "queue", "ready", "retrying", "consumers", "dead letters")
    for system in facts["systems"]:
        for queue in system["queues"]:
            numbers = [queue[name] for name in ("ready", "retrying", "consumers", "deadLetters")]
            shown = ["?" if number is None else str(number) for number in numbers]
            queues.add_row(system["name"], queue["name"], *shown)
    shared.out.print(queues)
    for system in facts["systems"]:
        if system["jobs"] is not None:
            counts = ", ".join(f"{count} {status}" for status, count in system["jobs"].items())
            shared.out.print(f"[bold]jobs[/bold]      {system['name']}: {counts}")
