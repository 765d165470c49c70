"""Removes what a notebook leaves behind whose kernel is gone: its processes, its database, its virtual host, its files.

The owner holds the lock of a small file, which the kernel of the operating system releases however the owner ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import conninfo, sql

from labs.broker import Management, find, private_node
from labs.broker import sweep as sweep_virtual_hosts
from labs.errors import BrokerError, ConfigurationError
from labs.processes import end, file_lock, try_lock
from labs.settings import Settings, load_settings
from labs.store.server import private_server

#: In the environment of every process that a notebook starts, and of none that others use too.
SETTING = "notebook"
_MARK = f"LAB_{SETTING.upper()}"
_LOCK_TIMEOUT_S = 60.0
_GRACE_S = 10.0
_GUARD = """
import sys
if not sys.stdin.read():
    from labs.notebook import sweep
    sweep()
"""


@dataclass(frozen=True)
class Ownership:
    """The file that says who owns what, and its lock, held for as long as the descriptor is open."""

    file: Path
    descriptor: int

    @property
    def name(self) -> str:
        """Of the notebook's run: also its database's."""
        return self.file.name

    @property
    def folder(self) -> Path:
        """For its logs, for servers of its own, and for what it writes."""
        return _folder(self.file)

    def create_database(self, server: str) -> str:
        """Make its database; returns the URL.

        Raises:
            ConfigurationError: the user of that server may not create databases.
        """
        self.file.write_text(json.dumps({"server": server}))
        return _create_database(server, self.name)

    def end(self) -> None:
        """Drop the database, forget the rest, release the lock."""
        _forget(self.file)
        os.close(self.descriptor)


def own(settings: Settings) -> Ownership:
    """Begin to own things."""
    with _registry(settings) as folder:
        owner_file = folder / f"notebook_{secrets.token_hex(6)}"
        owner_file.write_text("{}")
        descriptor = os.open(owner_file, os.O_RDWR | os.O_CLOEXEC)
        try_lock(descriptor)
    return Ownership(owner_file, descriptor)


def sweep(settings: Settings | None = None) -> list[str]:
    """Remove what notebooks have left whose kernels are gone; returns their names. What can't be reached stays."""
    settings = settings or load_settings()
    swept = []
    with _registry(settings) as folder:
        for owner_file in sorted(path for path in folder.iterdir() if path.is_file()):
            if _sweep_one(owner_file):
                swept.append(owner_file.name)
    if swept and (broker := find(settings)) is not None:
        with contextlib.suppress(BrokerError), Management(broker.management_url) as management:
            sweep_virtual_hosts(management, settings=settings)
    return swept


def _sweep_one(owner_file: Path) -> bool:
    """Whether it was left behind, and is gone now; one whose owner ends it at this very moment was not."""
    try:
        descriptor = os.open(owner_file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # The owner deletes its file before it lets go of the lock.
        return try_lock(descriptor) and os.fstat(descriptor).st_nlink > 0 and _remove(owner_file)
    finally:
        os.close(descriptor)


def _remove(owner_file: Path) -> bool:
    """False if its database's server can't be reached: next time, then."""
    for pid in _marked(owner_file.name):
        end(pid, grace_s=_GRACE_S)
    try:
        _forget(owner_file)
    except psycopg.OperationalError:
        return False
    return True


def _forget(owner_file: Path) -> None:
    facts = json.loads(owner_file.read_text())
    folder = _folder(owner_file)
    if not _end_servers(folder) and "server" in facts:
        _drop_database(facts["server"], owner_file.name)
    shutil.rmtree(folder, ignore_errors=True)
    owner_file.unlink(missing_ok=True)


def _end_servers(folder: Path) -> bool:
    """End the servers that a notebook had for itself; True if a database server was among them."""
    settings = load_settings(home=folder)
    node, server = private_node(settings), private_server(settings)
    if node.home.exists():
        node.kill()  # nobody needs its data any more
        node.stop()
    had_database = server.home.exists()
    if had_database:
        server.remove()
    return had_database


def _folder(owner_file: Path) -> Path:
    return owner_file.with_name(f"{owner_file.name}.files")


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


def start_guard() -> subprocess.Popen[bytes]:
    """A process that outlives this one by as long as it takes to clean up: its input ends when we do."""
    return subprocess.Popen(
        [sys.executable, "-c", _GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextlib.contextmanager
def _registry(settings: Settings) -> Iterator[Path]:
    """The folder with a file for each notebook of this checkout that runs, held alone."""
    folder = settings.home / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder.with_suffix(".lock"), timeout_s=_LOCK_TIMEOUT_S):
        yield folder
