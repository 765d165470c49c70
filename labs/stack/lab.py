"""The whole lab on this machine: broker, database and processes, started once, found again, ended together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from labs.broker import Broker, Compose, find, private_node, resolve
from labs.errors import ConfigurationError
from labs.processes import Progress, file_lock
from labs.settings import Settings
from labs.stack.child import ChildRecord
from labs.stack.records import end_records, load_records, read_records
from labs.stack.stack import Stack, port_or_free, uses_own_model
from labs.store.server import find_database, private_server, resolve_database
from labs.systems.registry import services

_LOCK_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Parts:
    """What runs: for who shows it."""

    broker: Broker
    database_url: str
    records: list[ChildRecord]

    def url(self, kind: str) -> str | None:
        """Where the process of a kind answers, if one does."""
        return next((record.url for record in self.records if record.name.split("-")[0] == kind and record.url), None)


class Lab:
    """This checkout's lab."""

    def __init__(self, settings: Settings, *, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._records_file = settings.home / "run" / "processes.json"

    @property
    def log_folder(self) -> Path:
        """Where the processes write their logs."""
        return self._settings.home / "logs"

    def records(self) -> list[ChildRecord]:
        """The processes that run."""
        return load_records(self._records_file)

    def up(self, *, workers: int = 1) -> bool:
        """Start what doesn't run; False if everything ran already.

        Raises:
            LabError: a part did not start; what did start stays, `down` ends it.
        """
        with self._alone():
            found = self.records()
            with self._timed("broker"):
                broker = resolve(self._settings, progress=self._progress)
            self._progress(f"broker: RabbitMQ {broker.version or '(version unknown)'} ({broker.kind})")
            with self._timed("database"):
                database_url = resolve_database(self._settings, progress=self._progress)
            stack = Stack(
                broker.amqp_url,
                database_url,
                folder=self.log_folder,
                settings=self._ports(),
                own_model=uses_own_model(self._settings),
                records_file=self._records_file,
                progress=self._progress,
            )
            stack.start(workers=workers, services=tuple(services()), found=found)
            return bool(stack.children)

    def _ports(self) -> dict[str, object]:
        """The ports of a lab that ran in part before, or those of the settings; any free ones if they are taken."""
        before = {record.name: urlsplit(record.url).port for record in read_records(self._records_file) if record.url}
        return {
            "api_port": port_or_free(before.get("api") or self._settings.api_port),
            "stub_port": port_or_free(before.get("stub") or self._settings.stub_port),
        }

    def parts(self) -> Parts | None:
        """What runs now; None if something that everything needs does not."""
        broker = find(self._settings)
        database_url = self._settings.database_url or find_database(self._settings)
        if broker is None or database_url is None:
            return None
        return Parts(broker, database_url, self.records())

    def down(self) -> bool:
        """End everything that is ours; False if nothing ran. Data stays in `.lab/`."""
        with self._alone():
            ended = end_records(self._records_file, progress=self._progress) > 0
            return self._end_servers() or ended

    def _end_servers(self) -> bool:
        broker = self._settings.amqp_url is None and self._end_broker()
        database = self._settings.database_url is None and self._end_database()
        return broker or database

    def _end_broker(self) -> bool:
        node = private_node(self._settings)
        ran = node.pid is not None
        if node.home.exists():
            node.stop()  # also the port mapper that a crash has left
        if not ran and (compose := Compose()).is_running():
            compose.stop()
            ran = True
        if ran:
            self._progress("broker ended")
        return ran

    def _end_database(self) -> bool:
        server = private_server(self._settings)
        ran = server.pid is not None
        if ran:
            server.stop()
            self._progress("database ended")
        return ran

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with file_lock(self._settings.home / "run" / "lab.lock", timeout_s=_LOCK_TIMEOUT_S):
                yield
        except OSError as error:
            raise ConfigurationError(f"LAB_HOME={self._settings.home} can't be used: {error}") from error

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._progress(f"{what} ready after {time.monotonic() - started:.1f} s")
