"""Reconnecting: again and again, but never in a tight loop."""

from __future__ import annotations

import asyncio
import time

from labs.errors import BrokerError, BrokerRefused
from labs.messaging.connection import Connection
from labs.messaging.supervision import Backoff, keep_connected
from tests.proxy import proxy_to
from tests.waiting import eventually
from tests.workbench import Workbench


def test_waits_double_up_to_a_cap_and_are_jittered() -> None:
    backoff = Backoff(first_s=0.2, cap_s=5.0)
    planned = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    for most_s in planned:
        assert most_s / 2 <= backoff.next_delay_s() <= most_s
    backoff.reset()
    assert backoff.next_delay_s() <= 0.2


def test_clients_that_lose_the_broker_together_do_not_return_together() -> None:
    assert len({Backoff().next_delay_s() for _ in range(20)}) == 20


async def test_a_session_that_fails_at_once_is_tried_again_ever_more_slowly(bench: Workbench) -> None:
    async def failing(connection: Connection) -> BrokerError:
        raise BrokerRefused("no")

    async with proxy_to(bench.url) as proxy:
        started = time.monotonic()
        task = asyncio.create_task(keep_connected(proxy.url, failing, name="s", heartbeat_s=30, timeout_s=5))
        await eventually(lambda: proxy.accepted >= 4)
        # Three waits, each at least half of 0.2, 0.4 and 0.8 s.
        assert time.monotonic() - started >= 0.7
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_session_runs_again_after_each_end_of_its_connection(bench: Workbench) -> None:
    sessions = 0

    async def session(connection: Connection) -> BrokerError:
        nonlocal sessions
        sessions += 1
        return await connection.closed

    async with proxy_to(bench.url) as proxy:
        task = asyncio.create_task(keep_connected(proxy.url, session, name="s", heartbeat_s=30, timeout_s=5))
        for expected in (1, 2, 3):
            await eventually(lambda expected=expected: sessions == expected)
            proxy.cut()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
