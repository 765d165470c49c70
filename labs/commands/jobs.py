"""jobs: the newest ones, or all that is known of one."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Column, Table

from labs.commands import shared
from labs.service.runtime import database_address
from labs.settings import get_settings
from labs.stack.demo import trace_table
from labs.store.database import Database
from labs.store.jobs import Job, Reading
from labs.store.statements import JobTable
from labs.store.trace import TracedStep, trace
from labs.systems.registry import tables


def jobs(
    job_id: Annotated[str | None, typer.Argument(help="Show the way of this job.")] = None,
    user: Annotated[int, typer.Option(min=1, help="Whose jobs.")] = 1,
    system: Annotated[str, typer.Option(help="Of which system.")] = "cover_letters",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False,
) -> None:
    """List a user's newest jobs, or show the way of one job.

    Example: python -m labs jobs --user 1 --limit 5

    Example: python -m labs jobs --system resumes

    Example: python -m labs jobs 0b0e7f0e-3c55-4c4e-9a44-5f0d8a0f6f1e
    """
    url = database_address(get_settings())
    if job_id is not None:
        _print_trace(asyncio.run(_trace(url, job_id)), job_id, as_json=as_json)
    else:
        _print_jobs(asyncio.run(_newest(url, _table(system), user, limit)), as_json=as_json)


async def _trace(url: str, job_id: str) -> list[TracedStep]:
    async with Database(url, name="jobs", pool=1) as database:
        return await trace(database, job_id)


def _table(system: str) -> JobTable:
    known = tables()
    if system not in known:
        raise typer.BadParameter(f"there are {', '.join(known)}", param_hint="--system")
    return known[system]


async def _newest(url: str, table: JobTable, user: int, limit: int) -> list[Job]:
    async with Database(url, name="jobs", pool=1) as database:
        return await Reading(database, table).newest(user_id=user, limit=limit)


def _print_trace(steps: list[TracedStep], job_id: str, *, as_json: bool) -> None:
    if as_json:
        shared.out.print_json(json.dumps([asdict(step) for step in steps], default=str))
    else:
        shared.out.print(trace_table(steps, job_id))


def _print_jobs(found: list[Job], *, as_json: bool) -> None:
    if as_json:
        # What users wrote and got stays in the database: a list is for looking around.
        private = {"result", "metadata"}
        rows = [{name: value for name, value in asdict(job).items() if name not in private} for job in found]
        shared.out.print_json(json.dumps(rows, default=str))
        return
    table = Table(Column("job", min_width=shared.ID_COLUMNS), "status", "attempts", "created", "error")
    for job in found:
        created = f"{job.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(job.job_id, job.status.value, str(job.attempts), created, job.error_message or "")
    shared.out.print(table)
