"""A pool of connections to PostgreSQL whose failures are one typed error, and which comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import resources
from types import TracebackType
from typing import Self

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from labs.errors import ConfigurationError, DatabaseUnavailable

Row = DictRow
Db = AsyncConnection[DictRow]

#: Any number; all processes that apply the schema take this lock, one after the other.
_SCHEMA_LOCK = 0x1AB


#: Seconds (milliseconds for the last) after which a server that has vanished without a word counts as lost.
KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}

#: Failures that pass, besides psycopg's operational ones: a server that is failing over, or ended our session.
_PASSING = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
)
#: Nothing is wrong but with the moment: tried again, the same transaction may succeed.
_ABORTED = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


def connection_info(url: str, *, name: str) -> str:
    """How to connect: UTF-8 whatever the server's default, and no waiting for a server that has vanished.

    Raises:
        ConfigurationError: the URL is not one.
    """
    try:
        return psycopg.conninfo.make_conninfo(
            url, application_name=name, connect_timeout=3, client_encoding="utf8", **KEEPALIVE
        )
    except psycopg.ProgrammingError:  # whose text quotes the URL, perhaps with its password
        raise ConfigurationError("LAB_DATABASE_URL is not postgresql://user:password@host:port/database") from None


class Database:
    """Connections in autocommit mode: each statement is a transaction unless `transaction` is used.

    Args:
        url: postgresql:// URL or libpq connection string.
        pool: most connections at once.
        timeout_s: seconds to wait for a free connection; also bounds how late an outage is noticed.
    """

    def __init__(self, url: str, *, name: str, pool: int = 10, timeout_s: float = 3.0) -> None:
        self._timeout_s = timeout_s
        conninfo = connection_info(url, name=name)
        self._pool: AsyncConnectionPool[Db] = AsyncConnectionPool(
            conninfo,
            connection_class=AsyncConnection[DictRow],
            kwargs={"autocommit": True, "row_factory": dict_row},
            min_size=1,
            max_size=pool,
            timeout=timeout_s,
            # Shorter than anybody's patience, so that who waits is told in time.
            reconnect_timeout=max(2.0, timeout_s - 1.0),
            open=False,
        )
        self._checking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._checking is not None:
            self._checking.cancel()
        await self._pool.close()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Db]:
        """A connection from the pool.

        Raises:
            DatabaseUnavailable: none could be had in time, it broke, or the server aborted the transaction for the
                sake of others. If it broke on a commit, the commit may or may not have happened.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except psycopg.errors.UndefinedTable as error:
            raise DatabaseUnavailable("the database has no tables yet: start a worker") from error
        except _ABORTED as error:
            raise DatabaseUnavailable(f"the database has aborted a transaction: {_first_line(error)}") from error
        except _PASSING as error:
            self._drop_broken_connections()
            raise DatabaseUnavailable(f"the database doesn't answer: {_first_line(error)}") from error

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Db]:
        """A connection in a transaction, committed at the end. Raises as `connection` does."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def execute(self, query: str, *parameters: object) -> None:
        """Run one statement, a transaction of its own. Raises as `connection` does."""
        async with self.connection() as db:
            await db.execute(query, parameters)

    async def rows(self, query: str, *parameters: object) -> list[Row]:
        """What one statement gives. Raises as `connection` does."""
        async with self.connection() as db:
            return await (await db.execute(query, parameters)).fetchall()

    async def row(self, query: str, *parameters: object) -> Row | None:
        """The first row that one statement gives, or None. Raises as `connection` does."""
        async with self.connection() as db:
            return await (await db.execute(query, parameters)).fetchone()

    def _drop_broken_connections(self) -> None:
        # One broken connection after a restart means all are: throw them away before others trip over them.
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())

    async def _check(self) -> None:
        with contextlib.suppress(PoolTimeout, psycopg.Error):
            await self._pool.check()

    async def apply_schema(self) -> None:
        """Create what is missing; several processes may do so at once."""
        script = resources.files("labs.store").joinpath("schema.sql").read_text()
        async with self.transaction() as db:
            await db.execute("SELECT pg_advisory_xact_lock(%s)", [_SCHEMA_LOCK])
            await db.execute(script)

    async def wait_until_up(self, *, timeout_s: float) -> None:
        """Wait for the database to answer.

        Raises:
            DatabaseUnavailable: it did not in time.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                async with self.connection() as db:
                    await db.execute("SELECT 1")
                    return
            except DatabaseUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.2)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
