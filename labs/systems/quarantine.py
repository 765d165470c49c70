"""Bounds what a job that kills its worker takes down with it: the more workers died on a job, the fewer run beside it.

All jobs in hand when a worker dies are suspects, and only one may be guilty. Suspects run in ever smaller
groups, so the guilty one is soon alone, and the innocent complete.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

#: How many suspects run at once in a process, by the number of workers that died on them.
GROUP_SIZES = (64, 8, 1)


class Quarantine:
    """Gives suspects their turn."""

    def __init__(self, group_sizes: Sequence[int] = GROUP_SIZES) -> None:
        self._groups = [asyncio.Semaphore(size) for size in group_sizes]

    @contextlib.asynccontextmanager
    async def turn(self, crashes: int) -> AsyncIterator[None]:
        """Wait until a job on which so many workers died may run."""
        if crashes <= 0:
            yield
            return
        async with self._groups[min(crashes, len(self._groups)) - 1]:
            yield
