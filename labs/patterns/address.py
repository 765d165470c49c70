"""Where broker and database are: all that a pattern takes from the rest of the lab."""

from __future__ import annotations

import atexit
import os
import secrets


def broker_url() -> str:
    """The AMQP URL of LAB_AMQP_URL, or of the lab's own broker, which is started if need be.

    Raises:
        BrokerError: there is none; see `labs.broker.resolve`.
    """
    # Imported here because workers are told the address, and start four times as fast without.
    from labs.broker import resolve  # noqa: PLC0415
    from labs.settings import load_settings  # noqa: PLC0415

    return resolve(load_settings(), progress=print).amqp_url


def scratch_database_url() -> str:
    """An empty database for this process, on the server of LAB_DATABASE_URL or the lab's own; dropped at its end.

    Raises:
        DatabaseUnavailable: there is no server, and none could be started.
        psycopg.errors.InsufficientPrivilege: the user may not create databases.
    """
    import psycopg  # noqa: PLC0415
    from psycopg import conninfo, sql  # noqa: PLC0415

    from labs.settings import load_settings  # noqa: PLC0415
    from labs.store.server import resolve_database  # noqa: PLC0415

    server, name = resolve_database(load_settings(), progress=print), f"pattern_{os.getpid()}_{secrets.token_hex(4)}"

    def execute(statement: str) -> None:
        with psycopg.connect(server, autocommit=True) as db:
            db.execute(sql.SQL(statement).format(sql.Identifier(name)))

    execute("CREATE DATABASE {}")
    atexit.register(execute, "DROP DATABASE {} WITH (FORCE)")
    return conninfo.make_conninfo(server, dbname=name)
