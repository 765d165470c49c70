"""Gathered steps: each item's step is done or fails once, for all that wait together, and none harms another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from labs.errors import DependencyDown
from labs.store.gathering import Gathering


class Steps:
    """A step that notes its batches, and waits to be let on if it is told to."""

    def __init__(self, *, bad: Sequence[int] = (), away: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.go.set()
        self._bad = bad
        self._away = away

    async def __call__(self, items: Sequence[int]) -> None:
        self.batches.append(list(items))
        await self.go.wait()
        if self._away:
            raise DependencyDown("no database")
        if set(items) & set(self._bad):
            raise ValueError("bad")


async def test_what_comes_while_a_step_runs_is_done_together_in_the_next() -> None:
    steps = Steps()
    steps.go.clear()
    gathering = Gathering(steps, most=10)
    asked = [asyncio.create_task(gathering.add(0))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked += [asyncio.create_task(gathering.add(n)) for n in range(1, 16)]
    await asyncio.sleep(0)
    assert steps.batches == [[0]]
    assert not any(one.done() for one in asked)
    steps.go.set()
    await asyncio.gather(*asked)
    assert steps.batches == [[0], list(range(1, 11)), list(range(11, 16))]
    # And again, when nothing has been waiting.
    await gathering.add(99)
    assert steps.batches[3:] == [[99]]


async def test_a_bad_item_fails_alone() -> None:
    steps = Steps(bad=[2])
    gathering = Gathering(steps)
    results = await asyncio.gather(*(gathering.add(n) for n in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), type(None), ValueError, type(None)]
    assert steps.batches == [[0, 1, 2, 3], [0], [1], [2], [3]]


async def test_what_is_away_is_away_for_all_and_not_asked_again() -> None:
    steps = Steps(away=True)
    gathering = Gathering(steps)
    results = await asyncio.gather(*(gathering.add(n) for n in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [DependencyDown] * 3
    assert len(steps.batches) == 1


async def test_who_no_longer_waits_disturbs_nobody() -> None:
    steps = Steps()
    steps.go.clear()
    gathering = Gathering(steps)
    gone, stays = (asyncio.create_task(gathering.add(n)) for n in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gone.cancel()
    steps.go.set()
    await stays
    with pytest.raises(asyncio.CancelledError):
        await gone
