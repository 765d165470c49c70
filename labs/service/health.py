"""Whether a process and what it depends on are well: liveness, readiness, metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from labs.errors import BrokerError, DatabaseUnavailable
from labs.messaging.connection import Connection
from labs.messaging.supervision import keep_connected
from labs.settings import Settings
from labs.store.database import Database
from labs.telemetry import DEPENDENCY_UP

#: Seconds between two looks for a broker that was never there.
_LOOK_S = 5.0


class BrokerWatch:
    """Holds a connection that does nothing but show whether the broker is there."""

    def __init__(self, find_url: Callable[[], str | None], settings: Settings, *, name: str) -> None:
        self._find_url = find_url
        self._settings = settings
        self._name = name
        self.up = False
        #: The broker's address, once it is known.
        self.url = settings.amqp_url

    async def run(self) -> None:
        """Watch until cancelled."""
        self._set(up=False)
        await keep_connected(
            await self._url(),
            self._session,
            name=self._name,
            heartbeat_s=self._settings.heartbeat_s,
            timeout_s=self._settings.publish_timeout_s,
        )

    async def _url(self) -> str:
        """The broker's address, once there is one: the API may have been started before it."""
        while True:
            url = await asyncio.to_thread(self._find_url)
            if url is not None:
                self.url = url
                return url
            await asyncio.sleep(_LOOK_S)

    async def _session(self, connection: Connection) -> BrokerError:
        self._set(up=True)
        try:
            return await connection.closed
        finally:
            self._set(up=False)

    def _set(self, *, up: bool) -> None:
        self.up = up
        DEPENDENCY_UP.labels("broker").set(up)


async def database_up(database: Database) -> bool:
    """Whether the database answers."""
    up = False
    with contextlib.suppress(DatabaseUnavailable):
        async with database.connection() as db:
            await db.execute("SELECT 1")
            up = True
    DEPENDENCY_UP.labels("database").set(up)
    return up
