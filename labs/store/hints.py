"""Hints between processes that something may have changed (LISTEN/NOTIFY): fast when they arrive, harmless when not.

A hint is never part of a transaction: PostgreSQL takes a global lock to commit one that notifies. Whoever
waits for a hint must also look by itself now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import psycopg
import structlog

from labs.errors import DatabaseUnavailable
from labs.store.database import Database, connection_info

log = structlog.get_logger()

#: Seconds over which hints are gathered: at most this much later, at most this often.
GATHER_S = 0.005
#: PostgreSQL's limit for a payload is 8,000 bytes.
_PER_NOTIFY = 150


class Ringer:
    """Sends hints, many in one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[str]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    def ring(self, channel: str, topic: str = "") -> None:
        """Hint that `topic` changed; returns at once, and never fails."""
        self._waiting[channel].add(topic)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_S)
            waiting, self._waiting = self._waiting, defaultdict(set)
            payloads = [
                (channel, ",".join(chunk)) for channel, topics in waiting.items() for chunk in _chunks(sorted(topics))
            ]
            with contextlib.suppress(DatabaseUnavailable):
                async with self._database.connection() as db:
                    for channel, payload in payloads:
                        await db.execute("SELECT pg_notify(%s, %s)", [channel, payload])


def _chunks(topics: list[str]) -> list[list[str]]:
    return [topics[start : start + _PER_NOTIFY] for start in range(0, len(topics), _PER_NOTIFY)]


class Listener:
    """Receives the hints of one channel; reconnects by itself."""

    def __init__(self, url: str, channel: str) -> None:
        self._conninfo = connection_info(url, name=f"listening for {channel}")
        self._channel = channel
        self._waiters: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextlib.contextmanager
    def subscribe(self, topic: str = "") -> Iterator[asyncio.Event]:
        """An event that is set at each hint about `topic`, from now on."""
        event = asyncio.Event()
        self._waiters[topic].add(event)
        try:
            yield event
        finally:
            self._waiters[topic].discard(event)
            if not self._waiters[topic]:
                del self._waiters[topic]

    def wake_all(self) -> None:
        """Set every event, as a hint about each topic would."""
        self._wake(list(self._waiters))

    async def _listen(self) -> None:
        while True:
            try:
                connecting = psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
                async with await connecting as db:
                    await db.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel)))
                    async for notification in db.notifies():
                        self._wake(notification.payload.split(","))
            except psycopg.Error as error:
                log.debug("not listening for hints", channel=self._channel, error=str(error))
            await asyncio.sleep(1.0)

    def _wake(self, topics: list[str]) -> None:
        for topic in topics:
            for event in self._waiters.get(topic, ()):
                event.set()


async def wait_for_hint(event: asyncio.Event, *, timeout_s: float) -> None:
    """Wait for a hint, or until it is time to look anyway."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
    event.clear()
