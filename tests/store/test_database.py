"""The pool: failures are one typed error, and it comes back by itself."""

from __future__ import annotations

import asyncio
import time

import pytest

from labs.errors import ConfigurationError, DatabaseUnavailable
from labs.store.database import Database
from tests.databases import count, create, jobs_of, opened, rows
from tests.waiting import eventually


async def test_the_schema_can_be_applied_by_many_at_once_and_again(database_url: str) -> None:
    async with opened(database_url, pool=5) as database:
        await asyncio.gather(*(database.apply_schema() for _ in range(5)))
        await create(jobs_of(database))
        await database.apply_schema()
        assert await count(database, "cover_letter_jobs") == 1


async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    async def fail_after_a_statement() -> None:
        async with database.transaction() as db:
            await db.execute("INSERT INTO users (id) VALUES (1)")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_after_a_statement()
    assert await count(database, "users") == 0


async def test_what_the_server_aborts_for_the_sake_of_others_is_told_as_that_and_passes(database: Database) -> None:
    await database.execute("INSERT INTO users (id) VALUES (1), (2)")

    async def update(first: int, second: int, met: asyncio.Barrier) -> None:
        async with database.transaction() as db:
            await db.execute("UPDATE users SET id = id WHERE id = %s", [first])
            await met.wait()
            await db.execute("UPDATE users SET id = id WHERE id = %s", [second])

    # Given two transactions, each of which waits for the other, then one of them is aborted
    met = asyncio.Barrier(2)
    one, other = await asyncio.gather(update(1, 2, met), update(2, 1, met), return_exceptions=True)
    [error] = [each for each in (one, other) if each is not None]
    assert isinstance(error, DatabaseUnavailable)
    assert "aborted a transaction: deadlock detected" in str(error)
    # And tried again alone, it succeeds
    await update(2, 1, asyncio.Barrier(1))


async def test_no_database_is_one_error_in_time() -> None:
    async with Database("postgresql://nobody@127.0.0.1:1/none", name="t", timeout_s=0.3) as database:
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="doesn't answer"):
            await rows(database, "SELECT 1")
        with pytest.raises(DatabaseUnavailable):
            await database.wait_until_up(timeout_s=0.5)
        assert time.monotonic() - started < 30


@pytest.mark.parametrize("url", ["nonsense", "postgres//me:hunter2@host/db", "postgresql://me:hunter2@host/db?x=y"])
def test_what_is_no_database_url_is_a_configuration_error_that_does_not_quote_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="LAB_DATABASE_URL") as caught:
        Database(url, name="t")
    assert "hunter2" not in str(caught.value)


async def test_a_pool_whose_sessions_are_all_ended_comes_back(database: Database, database_url: str) -> None:
    # Given a pool with several connections,
    await asyncio.gather(*(rows(database, "SELECT pg_sleep(0.05)") for _ in range(5)))
    # when the server ends them all, as a restart does,
    async with opened(database_url) as other:
        query = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
        )
        async with other.connection() as db:
            await db.execute(query, [db.info.backend_pid])

    # then calls may fail with the one error, and soon they work again, all of them.
    async def works() -> bool:
        try:
            await asyncio.gather(*(rows(database, "SELECT 1") for _ in range(5)))
        except DatabaseUnavailable:
            return False
        return True

    await eventually(works)


async def test_a_busy_pool_is_an_error_rather_than_an_endless_wait(database_url: str) -> None:
    async with Database(database_url, name="t", pool=1, timeout_s=0.2) as database:
        await database.wait_until_up(timeout_s=30)
        async with database.connection():
            with pytest.raises(DatabaseUnavailable):
                await rows(database, "SELECT 1")
        assert await rows(database, "SELECT 1 AS one") == [{"one": 1}]


async def test_sessions_carry_the_name_of_their_process(database: Database) -> None:
    assert (await rows(database, "SHOW application_name"))[0]["application_name"] == "test"
