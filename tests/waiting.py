"""Waiting on conditions, never on the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Condition = Callable[[], bool | Awaitable[bool]]

#: What comes at all comes sooner, also on a machine that is busy with everything else.
TIMEOUT_S = 60.0


async def eventually(condition: Condition, *, timeout_s: float = TIMEOUT_S, every_s: float = 0.02) -> None:
    """Wait until the condition holds; a plain or an async callable."""
    async with asyncio.timeout(timeout_s):
        while not await _holds(condition):
            await asyncio.sleep(every_s)


async def stays(condition: Condition, *, for_s: float) -> None:
    """Hold that nothing happens: the one thing that can't be waited for but by the clock."""
    deadline = asyncio.get_running_loop().time() + for_s
    while asyncio.get_running_loop().time() < deadline:
        assert await _holds(condition)
        await asyncio.sleep(0.02)


async def _holds(condition: Condition) -> bool:
    answer = condition()
    return await answer if isinstance(answer, Awaitable) else answer
