"""One step for all that asked for it while the step before ran: a transaction for many costs hardly more than for one.

Whoever asks waits until the step with his item is over, and gets its error if it failed. What fails together, though
nothing is away, is tried one by one, so that no item can harm another. Nobody waits for others to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from labs.errors import DependencyDown

Item = TypeVar("Item")


class Gathering(Generic[Item]):
    """Runs a step, one at a time, each for all items that wait.

    Args:
        step: does something for all of the items, or fails and has done nothing.
        most: items that a step gets.
    """

    def __init__(self, step: Callable[[Sequence[Item]], Awaitable[None]], *, most: int = 100) -> None:
        self._step = step
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> None:
        """Have the step done for an item; raises what the step raises."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            if await self._failed(batch, alone=len(batch) == 1):
                for one in batch:
                    await self._failed([one], alone=True)
        self._running = None

    async def _failed(self, batch: list[tuple[Item, asyncio.Future[None]]], *, alone: bool) -> bool:
        """Run the step and tell those who wait; True if they have to be tried one by one instead."""
        failure: Exception | None = None
        try:
            await self._step([item for item, _ in batch])
        except Exception as error:
            if not (alone or isinstance(error, DependencyDown)):
                return True
            failure = error
        for _, done in batch:
            if done.done():  # cancelled meanwhile
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)
        return False
