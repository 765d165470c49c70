"""Faults of the database: it restarts, cuts its connections, or aborts what it can't put in an order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from labs.trial.faults.fault import Fault
from labs.trial.site import Site, TrialFailed

_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_CUT = "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid"

_FOR_NEW_SESSIONS = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {}', current_database()); END $$"
_STRICT = _FOR_NEW_SESSIONS.format("SET default_transaction_isolation = serializable")
_USUAL = _FOR_NEW_SESSIONS.format("RESET default_transaction_isolation")


@contextmanager
def database_restart(site: Site) -> Iterator[str]:
    """The server is stopped, sessions and all, and started again."""
    pid = site.postgres.pid
    site.postgres.stop()
    try:
        yield site.seen(lambda: site.postgres.pid is None, f"the server's process {pid} is gone")
    finally:
        site.postgres.start()


@contextmanager
def database_connections_cut(site: Site) -> Iterator[str]:
    """All sessions of the system are ended by an operator."""
    with psycopg.connect(site.database_url, autocommit=True) as db:
        cut = {row[0] for row in db.execute(_SESSIONS).fetchall()}
        if not cut:
            raise TrialFailed("the system has no sessions that could be cut")
        db.execute(_CUT, [sorted(cut)])
        yield site.seen(
            lambda: not cut & {row[0] for row in db.execute(_SESSIONS).fetchall()},
            f"{len(cut)} sessions are gone from pg_stat_activity",
        )


@contextmanager
def serialization_failure(site: Site) -> Iterator[str]:
    """Every transaction is serializable, and those that would not fit into one order are aborted (40001)."""
    before = _aborted(site)
    _isolate(site, _STRICT)
    try:
        yield site.seen(lambda: _aborted(site) > before, "the server's log says that it could not serialize access")
    finally:
        _isolate(site, _USUAL)


def _isolate(site: Site, how: str) -> None:
    """Set the isolation of all new sessions, and end the old ones."""
    with psycopg.connect(site.database_url, autocommit=True) as db:
        db.execute(how)
        sessions = [row[0] for row in db.execute(_SESSIONS).fetchall()]
        db.execute(_CUT, [sessions])


def _aborted(site: Site) -> int:
    return site.postgres.read_log().count("could not serialize access")


DATABASE_FAULTS = (
    Fault(
        name="database-restart",
        begins="the database server is stopped",
        heals="it is started again",
        inject=database_restart,
    ),
    Fault(
        name="database-connections-cut",
        begins="an operator ends all sessions",
        heals="the system connects again",
        inject=database_connections_cut,
    ),
    Fault(
        name="serialization-failure",
        begins="every transaction is serializable, and some are aborted (40001)",
        heals="an operator sets the isolation back",
        inject=serialization_failure,
        hold_s=3.0,
    ),
)
