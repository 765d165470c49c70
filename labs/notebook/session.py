"""Gives a notebook a virtual host, a database and processes of its own, all gone when it ends, however it ends.

The owner holds the lock of a small file. When a kernel is killed, a guard that waited for its end deletes what it left;
if that is killed too, whoever starts or tests the next notebook does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
from psycopg import conninfo, sql

from labs.broker import Broker, Management, VirtualHost, find, virtual_host
from labs.broker import sweep as sweep_virtual_hosts
from labs.errors import BrokerError, ConfigurationError, StoreError
from labs.llm.control import StubModel
from labs.notebook.letters import CoverLetters
from labs.processes import end, file_lock, try_lock
from labs.settings import Settings, load_settings
from labs.stack.stack import Stack
from labs.store.database import Database
from labs.store.server import resolve_database

#: In the environment of every process that a notebook starts.
_MARK = "LAB_NOTEBOOK"
_LOCK_TIMEOUT_S = 60.0
_GRACE_S = 10.0
_GUARD = """
import sys
if not sys.stdin.read():
    from labs.notebook import sweep
    sweep()
"""


class Notebook:
    """What one notebook owns. `close` it in the last cell; it may be called twice."""

    def __init__(
        self, label: str, *, settings: Settings, values: dict[str, object], owner_file: Path, descriptor: int
    ) -> None:
        self.label = label
        self._settings = settings
        self._values = values
        self._owner_file = owner_file
        self._descriptor: int | None = descriptor
        self._folder = owner_file.with_name(f"{owner_file.name}.logs")
        self._guard = _start_guard()
        self._stack: Stack | None = None
        self._database_url: str | None = None
        os.environ[_MARK] = owner_file.name
        try:
            self.vhost: VirtualHost = virtual_host(label, settings=settings)
        except BrokerError:
            self._release()
            raise

    @property
    def broker(self) -> Broker:
        """The broker, which others use too."""
        return self.vhost.broker

    @property
    def version(self) -> tuple[int, ...]:
        """The broker's version, as numbers."""
        return tuple(int(number) for number in re.findall(r"\d+", self.broker.version or ""))[:3]

    @property
    def amqp_url(self) -> str:
        """The AMQP URL of this notebook's virtual host."""
        return self.vhost.amqp_url

    @property
    def database_url(self) -> str:
        """This notebook's own database, made when first asked for.

        Raises:
            DatabaseUnavailable: there is no server, and none could be started.
            ConfigurationError: its user may not create databases.
        """
        if self._database_url is None:
            server = resolve_database(self._settings)
            self._owner_file.write_text(json.dumps({"server": server}))
            self._database_url = _create_database(server, self._owner_file.name)
        return self._database_url

    @property
    def database(self) -> Database:
        """A pool on it, to be used with `async with`."""
        return Database(self.database_url, name=f"notebook {self.label}", pool=2)

    def start(self, *, workers: int = 1) -> Stack:
        """Start stub model, API, relay and workers.

        Raises:
            ProcessFailed: one of them did not start; the text holds the end of its log.
        """
        url = self.database_url
        self._stack = Stack(self.amqp_url, url, folder=self._folder, settings=self._values)
        return self._stack.start(workers=workers)

    @property
    def stack(self) -> Stack:
        """What `start` has started."""
        if self._stack is None:
            raise ConfigurationError("nothing runs yet: call start() first")
        return self._stack

    @property
    def letters(self) -> CoverLetters:
        """A client of the API."""
        return CoverLetters(self.stack.api_url, token=self.stack.token())

    @property
    def model(self) -> StubModel:
        """The stub model's dials and ledger; close it, or use it with `with`."""
        return self.stack.stub

    def close(self) -> None:
        """End the processes, delete the virtual host, drop the database."""
        if self._descriptor is None:
            return
        if self._stack is not None:
            self._stack.stop()
        self.vhost.close()
        if self._database_url is not None:
            _drop_database(json.loads(self._owner_file.read_text())["server"], self._owner_file.name)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._owner_file.unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        os.environ.pop(_MARK, None)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._guard.communicate(b"nothing left")


def notebook(label: str, *, settings: Settings | None = None, **values: object) -> Notebook:
    """Parts for one notebook: finds or starts the broker, and first removes what dead notebooks have left.

    Args:
        label: the chapter, for example `"09"`.
        settings: of this checkout; default: from the environment.
        values: settings of the processes that it starts, by name, for example `lease_s=2`.

    Raises:
        BrokerError: there is no broker; see `labs.broker.resolve`.
    """
    settings = settings or load_settings()
    sweep(settings)
    with _registry(settings) as folder:
        owner_file = folder / f"notebook_{secrets.token_hex(6)}"
        owner_file.write_text("{}")
        descriptor = _locked(owner_file)
    return Notebook(f"notebook-{label}", settings=settings, values=values, owner_file=owner_file, descriptor=descriptor)


def sweep(settings: Settings | None = None) -> list[str]:
    """Remove what notebooks have left whose kernels are gone; returns their names. What can't be reached stays."""
    settings = settings or load_settings()
    swept = []
    with _registry(settings) as folder:
        for owner_file in sorted(path for path in folder.iterdir() if path.is_file()):
            descriptor = os.open(owner_file, os.O_RDWR | os.O_CLOEXEC)
            try:
                if try_lock(descriptor):
                    with contextlib.suppress(StoreError):
                        _remove(owner_file)
                        swept.append(owner_file.name)
            finally:
                os.close(descriptor)
    if swept and (broker := find(settings)) is not None:
        with contextlib.suppress(BrokerError), Management(broker.management_url) as management:
            sweep_virtual_hosts(management, settings=settings)
    return swept


def _remove(owner_file: Path) -> None:
    for pid in _marked(owner_file.name):
        end(pid, grace_s=_GRACE_S)
    facts = json.loads(owner_file.read_text())
    if "server" in facts:
        with contextlib.suppress(psycopg.OperationalError):  # a server that doesn't run holds nothing up
            _drop_database(facts["server"], owner_file.name)
    shutil.rmtree(owner_file.with_name(f"{owner_file.name}.logs"), ignore_errors=True)
    owner_file.unlink(missing_ok=True)


def _marked(name: str) -> list[int]:
    """Pids of the processes that this notebook has started."""
    pids = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(_MARK) == name:
                pids.append(process.pid)
    return pids


def _create_database(server: str, name: str) -> str:
    try:
        with psycopg.connect(server, autocommit=True) as db:
            db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            "the user of LAB_DATABASE_URL may not create databases, which every notebook needs: "
            "ALTER ROLE ... CREATEDB, or unset it to use a private server"
        ) from error
    return conninfo.make_conninfo(server, dbname=name)


def _drop_database(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True, connect_timeout=5) as db:
        db.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _start_guard() -> subprocess.Popen[bytes]:
    """A process that outlives this one by as long as it takes to clean up: its input ends when we do."""
    return subprocess.Popen(
        [sys.executable, "-c", _GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _locked(owner_file: Path) -> int:
    descriptor = os.open(owner_file, os.O_RDWR | os.O_CLOEXEC)
    try_lock(descriptor)
    return descriptor


@contextlib.contextmanager
def _registry(settings: Settings) -> Iterator[Path]:
    """The folder with a file for each notebook of this checkout that runs, held alone."""
    folder = settings.home / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder.with_suffix(".lock"), timeout_s=_LOCK_TIMEOUT_S):
        yield folder
