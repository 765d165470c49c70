"""The quarantine: the more workers died on a job, the fewer run beside it."""

from __future__ import annotations

import asyncio

import pytest

from labs.systems.quarantine import GROUP_SIZES, Quarantine
from tests.waiting import eventually, stays


@pytest.mark.parametrize(("crashes", "at_once"), [(1, 4), (2, 2), (3, 1), (9, 1), (0, 10), (-1, 10)])
async def test_suspects_run_in_groups_of_their_size(crashes: int, at_once: int) -> None:
    quarantine = Quarantine((4, 2, 1))
    running, most, finish = 0, 0, asyncio.Event()

    async def suspect() -> None:
        nonlocal running, most
        async with quarantine.turn(crashes):
            running += 1
            most = max(most, running)
            await finish.wait()
            running -= 1

    tasks = [asyncio.create_task(suspect()) for _ in range(10)]
    await eventually(lambda: running == at_once)
    await stays(lambda: running == at_once, for_s=0.05)
    # Each group lets the next one in as soon as a turn is over.
    finish.set()
    await asyncio.gather(*tasks)
    assert most == at_once


async def test_a_group_does_not_hold_up_another() -> None:
    quarantine = Quarantine((1, 1))
    async with quarantine.turn(1), quarantine.turn(2), quarantine.turn(0):
        pass


async def test_a_turn_is_given_back_when_its_job_fails() -> None:
    quarantine = Quarantine((1,))

    async def fail() -> None:
        async with quarantine.turn(1):
            raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            await fail()


def test_the_groups_shrink_to_one() -> None:
    assert list(GROUP_SIZES) == sorted(GROUP_SIZES, reverse=True)
    assert GROUP_SIZES[-1] == 1
