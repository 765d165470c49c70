"""`make load`: every scenario for some seconds at a modest rate, a table and charts of them, and what limited them.

Broker, database and service are found or started, in a virtual host and a database of their own; what was started is
ended again, also after Ctrl-C, and what there is by then is kept.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psycopg
from psycopg import conninfo, sql
from rich.console import Console

from labs.broker import find, private_node
from labs.errors import LabError
from labs.llm.dials import Constant
from labs.settings import ROOT, Settings, load_settings
from labs.stack.stack import Stack
from labs.store.server import find_database, private_server, resolve_database
from loadtest.guided_results import Outcome, keep, limited_by, table
from loadtest.place import Place, place
from loadtest.results import Pending
from loadtest.results.folder import RESULTS

_SECONDS = 10
_LETTER_MS = 500
_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 60.0
_out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
_err = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Step:
    """One scenario: messages a second, and users to have them under way."""

    scenario: str
    rate: int
    users: int = 4
    further: tuple[str, ...] = field(default=())


STEPS = (
    Step("WorkQueue", 200),
    Step("FanOut", 100, further=("--queues=3",)),
    Step("Rpc", 100),
    Step("Retry", 50),
    Step("Idempotent", 50),
    Step("CoverLetter", 5),
    Step("CoverLetterSync", 5),
    Step("Firehose", 2000, users=1),
)


def main() -> int:
    """Do all steps; 0: all requests succeeded, 1: some failed, 2: it could not be done, 130: interrupted."""
    # Whoever starts us in the background has SIGINT ignored for us, and Python leaves it so.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return _guided(load_settings())
    except LabError as error:
        _err.print(f"error: {error}", markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130


def _guided(settings: Settings) -> int:
    outcomes: list[Outcome] = []
    is_partial = False
    with Pending(RESULTS, "guided") as pending, _system(settings) as (where, api_url):
        try:
            for step in STEPS:
                _say(f"{step.scenario}: {step.rate} a second for {_SECONDS} s")
                outcomes.append(_done(step, where, api_url=api_url, log=pending.path / "locust.log"))
        except KeyboardInterrupt:
            is_partial = True
            _say("interrupted: what there is is kept")
        if not outcomes:
            return 130
        _out.print(table(outcomes, on=f"RabbitMQ {where.rabbitmq}"))
        keep(pending, outcomes, where=where, is_partial=is_partial)
        folder = pending.commit()
    _out.print(f"charts, pandas tables and logs: {folder}", soft_wrap=True)
    _out.print(limited_by(outcomes), soft_wrap=True, markup=False)
    return 130 if is_partial else int(any(outcome.failures or outcome.exit_code for outcome in outcomes))


def _done(step: Step, where: Place, *, api_url: str, log: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as folder, log.open("a") as output:
        board = Path(folder) / "board.json"
        arguments = [f"--users={step.users}", "--spawn-rate=100", f"--rate={step.rate}", f"--duration={_SECONDS}"]
        command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py"), "--headless"]
        command += ["--only-summary", f"--host={api_url}", f"--board-file={board}", *arguments, *step.further]
        exit_code = _locust([*command, step.scenario], url=where.url, output=output)
        if not board.exists():
            raise LabError(f"{step.scenario} did not begin: {_last_error(log)}")
        return Outcome.of(step.scenario, json.loads(board.read_text()), seconds=_SECONDS, exit_code=exit_code)


def _locust(command: Sequence[str], *, url: str, output: IO[str]) -> int:
    """Run Locust; Ctrl-C lets it remove its queues before we go on."""
    process = subprocess.Popen(
        command,
        env={**os.environ, "LAB_AMQP_URL": url},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C in the terminal is for us
    )
    try:
        return process.wait(_TIMEOUT_S)
    except BaseException:
        process.terminate()
        process.wait(_END_TIMEOUT_S)
        raise


def _last_error(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "it says nothing")


@contextmanager
def _system(settings: Settings) -> Iterator[tuple[Place, str]]:
    """A place on the broker with a running service; everything that did not run before is ended."""
    with ExitStack() as stack:
        if not settings.database_url and find_database(settings) is None:
            stack.callback(lambda: private_server(settings).stop())
        if find(settings) is None and not settings.amqp_url:
            stack.callback(lambda: private_node(settings).stop())
        where = stack.enter_context(place(settings, progress=_say))
        database_url = stack.enter_context(_database(settings))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        values = {"rate_limit": "1000000/minute", "log_level": "WARNING"}
        service = stack.enter_context(Stack(where.url, database_url, folder=folder, settings=values, progress=_say))
        service.start()
        service.stub.set_dials(latency=Constant(ms=_LETTER_MS))
        yield where, service.api_url


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    server, name = resolve_database(settings, progress=_say), f"load_{secrets.token_hex(4)}"

    def execute(statement: str) -> None:
        with psycopg.connect(server, autocommit=True) as database:
            database.execute(sql.SQL(statement).format(sql.Identifier(name)))

    execute("CREATE DATABASE {}")
    try:
        yield conninfo.make_conninfo(server, dbname=name)
    finally:
        execute("DROP DATABASE {} WITH (FORCE)")


def _say(text: str) -> None:
    _err.print(text, style="dim", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
