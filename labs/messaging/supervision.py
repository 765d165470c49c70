"""Keeps something connected: opens, waits for its end, and opens again with jittered backoff, never in a tight loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from labs.errors import BrokerError
from labs.messaging.connection import Connection

log = structlog.get_logger()

Session = Callable[[Connection], Awaitable[BrokerError]]
#: Told why a connection ended, or why none came up.
OnEnd = Callable[[BrokerError], None]


@dataclass
class Backoff:
    """Waits that double up to a cap, each cut by up to a half at random, so that clients don't return as a herd."""

    first_s: float = 0.2
    cap_s: float = 5.0
    _next_s: float = field(default=0.0, init=False)

    def reset(self) -> None:
        self._next_s = 0.0

    def next_delay_s(self) -> float:
        self._next_s = min(self.cap_s, max(self.first_s, self._next_s * 2))
        return self._next_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    async def wait(self) -> None:
        await asyncio.sleep(self.next_delay_s())


async def keep_connected(
    url: str,
    session: Session,
    *,
    name: str,
    heartbeat_s: int,
    timeout_s: float,
    on_end: OnEnd = lambda _: None,
) -> None:
    """Run `session` on a connection, again on a new one whenever it ends, until cancelled.

    A session sets itself up, then waits for the end of its channel and returns the reason. A session
    that was up for some seconds resets the backoff; one that fails at once does not.
    """
    backoff = Backoff()
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            connection = await Connection.open(url, name=name, heartbeat_s=heartbeat_s, timeout_s=timeout_s)
            try:
                reason = await session(connection)
            finally:
                await connection.close()
        except BrokerError as error:
            reason = error
        on_end(reason)
        if loop.time() - started > backoff.cap_s:
            backoff.reset()
        delay_s = backoff.next_delay_s()
        log.warning("broker connection ended", name=name, reason=str(reason), reconnect_in_s=round(delay_s, 2))
        await asyncio.sleep(delay_s)
