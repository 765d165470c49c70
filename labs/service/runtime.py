"""What every process of the lab does the same way: addresses, logs, an event loop, signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from labs import failpoints
from labs.errors import ConfigurationError, DatabaseUnavailable
from labs.settings import Settings
from labs.store.database import Database
from labs.store.server import find_database
from labs.telemetry import configure_logging

log = structlog.get_logger()

#: New objects before a collection, and collections of the young before one of the next older; default: 700, 10, 10.
_GC_THRESHOLDS = (10_000, 20, 20)


@dataclass(frozen=True)
class Addresses:
    """Where the broker and the database of a process are."""

    amqp_url: str
    database_url: str


def addresses(settings: Settings) -> Addresses:
    """The configured broker and database, else the private ones that run.

    Raises:
        ConfigurationError: there is none.
    """
    return Addresses(broker_address(settings), database_address(settings))


def broker_address(settings: Settings) -> str:
    """The configured broker, else the private one that runs.

    Raises:
        ConfigurationError: there is none.
    """
    broker = settings.amqp_url
    if broker is None:
        from labs.broker import find  # noqa: PLC0415 - a tenth of a second that a given broker needn't cost

        found = find(settings)
        if found is None:
            raise ConfigurationError("no broker runs: start everything with `python -m labs up`, or set LAB_AMQP_URL")
        broker = found.amqp_url
    return broker


def database_address(settings: Settings) -> str:
    """The configured database, else the private one that runs.

    Raises:
        ConfigurationError: there is none.
    """
    database = settings.database_url or find_database(settings)
    if database is None:
        raise ConfigurationError("no database runs: start everything with `python -m labs up`, or set LAB_DATABASE_URL")
    return database


def process_name(kind: str) -> str:
    """A name for this process in connections, logs and history."""
    return f"{kind}@{socket.gethostname()}:{os.getpid()}"


def announce(kind: str, *, url: str | None = None) -> None:
    """Say on standard output, in one line of JSON, that this process is ready, and where."""
    print(json.dumps({"process": kind, "pid": os.getpid(), "url": url}), flush=True)


async def ready(stop: asyncio.Event, condition: Callable[[], bool], *, kind: str) -> None:
    """Announce the process once the condition holds, unless it is told to stop before."""
    while not condition():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await stop.wait()
                return
    announce(kind)


def run_process(kind: str, settings: Settings, main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run a process until SIGTERM or SIGINT sets the event that `main` gets; returns when `main` has ended."""
    configure_logging(settings, process=kind)
    failpoints.arm(settings.failpoints)
    _collect_less()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_with_signals(main))


def _collect_less() -> None:
    """What is loaded stays, and hundreds of messages in hand are no garbage: needn't be looked through all the time."""
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - not there on Windows

    return uvloop.new_event_loop


async def _with_signals(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await main(stop)


@contextlib.asynccontextmanager
async def running(*tasks: Coroutine[Any, Any, None]) -> Any:
    """Run tasks for the length of a block; if one of them breaks, say so loudly and end the block."""
    async with asyncio.TaskGroup() as group:
        started = [group.create_task(task) for task in tasks]
        try:
            yield
        finally:
            for task in started:
                task.cancel()


async def schema_applied(database: Database, stop: asyncio.Event) -> None:
    """Apply the schema, waiting for the database to come up, unless told to stop."""
    while not stop.is_set():
        try:
            await database.apply_schema()
        except DatabaseUnavailable as error:
            log.warning("waiting for the database", reason=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await stop.wait()
        else:
            return
