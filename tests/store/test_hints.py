"""Hints between processes: fast when they arrive, harmless when not."""

from __future__ import annotations

import asyncio
import time

from labs.store.database import Database
from labs.store.hints import Listener, Ringer, wait_for_hint
from tests.databases import rows
from tests.waiting import eventually


async def listens(database: Database) -> bool:
    query = (
        "SELECT pid FROM pg_stat_activity "
        "WHERE query LIKE 'LISTEN%%' AND state = 'idle' AND datname = current_database()"
    )
    return bool(await rows(database, query))


async def test_ringing_wakes_a_listener_on_another_connection(database: Database, database_url: str) -> None:
    async with Listener(database_url, "jobs") as listener:
        await eventually(lambda: listens(database))
        with listener.subscribe("a") as a, listener.subscribe("b") as b, listener.subscribe("a") as also_a:
            Ringer(database).ring("jobs", "a")
            async with asyncio.timeout(30):
                await asyncio.gather(a.wait(), also_a.wait())
            assert not b.is_set()


async def test_many_hints_are_gathered_and_none_is_forgotten(database: Database, database_url: str) -> None:
    topics = [f"{n:036}" for n in range(500)]
    async with Listener(database_url, "jobs") as listener:
        await eventually(lambda: listens(database))
        ringer = Ringer(database)
        with listener.subscribe(topics[0]) as first, listener.subscribe(topics[-1]) as last:
            for topic in topics:
                ringer.ring("jobs", topic)
            async with asyncio.timeout(30):
                await asyncio.gather(first.wait(), last.wait())


async def test_a_listener_comes_back_after_its_session_is_ended(database: Database, database_url: str) -> None:
    async with Listener(database_url, "jobs") as listener:
        await eventually(lambda: listens(database))
        await rows(
            database,
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' "
            "AND datname = current_database()",
        )
        ringer = Ringer(database)
        with listener.subscribe() as hint:

            async def woken() -> bool:
                ringer.ring("jobs")
                await wait_for_hint(hint, timeout_s=0.05) if not hint.is_set() else None
                return await listens(database)

            await eventually(woken)
            ringer.ring("jobs")
            async with asyncio.timeout(30):
                await hint.wait()


async def test_a_hint_never_fails_though_the_database_is_away() -> None:
    async with Database("postgresql://nobody@127.0.0.1:1/none", name="t", timeout_s=0.1) as database:
        ringer = Ringer(database)
        ringer.ring("jobs", "a")
        # It has returned, and nothing has been sent yet.
        task = ringer._task
        assert task is not None
        assert not task.done()
        await task
        assert task.exception() is None


async def test_who_waits_looks_again_after_a_while_without_a_hint() -> None:
    started = time.monotonic()
    hint = asyncio.Event()
    await wait_for_hint(hint, timeout_s=0.1)
    assert 0.1 <= time.monotonic() - started < 30
    hint.set()
    await wait_for_hint(hint, timeout_s=60)
    assert not hint.is_set()


async def test_who_no_longer_listens_leaves_nothing_behind() -> None:
    listener = Listener("", "jobs")
    with listener.subscribe("a") as outer:
        with listener.subscribe("a"):
            pass
        listener._wake(["a"])
        assert outer.is_set()
    assert listener._waiters == {}
