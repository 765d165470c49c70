"""A broker that dies in the middle of a session: no change is lost or comes twice, and each author's are in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from labs.broker import Node
from labs.errors import BrokerError, RpcError
from labs.store.database import Database
from tests.systems.peers.bench import Peers
from tests.systems.peers.test_collaboration import numbers
from tests.waiting import eventually

pytestmark = pytest.mark.faults


@pytest.fixture
async def node(installed: None, tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(tmp_path / "broker")
    await asyncio.to_thread(node.start)
    yield node
    await asyncio.to_thread(node.stop)


async def test_a_session_outlives_its_broker(node: Node, database: Database, systems_database_url: str) -> None:
    peers = Peers(node.amqp_url, database, systems_database_url)
    changes = range(1, 81)

    async def update(session_id: str, author: int, number: int) -> None:
        """As a good client: the same change again, until it is known to be published."""
        while True:
            try:
                await peers.update(session_id, author, number)
            except (BrokerError, RpcError):
                await asyncio.sleep(0.05)
            else:
                return

    async def write(session_id: str, author: int) -> None:
        for number in changes:
            await update(session_id, author, number)

    async with peers.serving("collaboration"):
        await peers.open("s1", 1, 2)
        await peers.open("s2", 3)
        async with (
            peers.participant("s1", 1) as one,
            peers.participant("s1", 2) as two,
            peers.participant("s2", 3) as elsewhere,
        ):
            await asyncio.to_thread(node.settle)  # the queues have to reach the disk: else they may be gone
            writing = [asyncio.create_task(write(*who)) for who in (("s1", 1), ("s1", 2), ("s2", 3))]
            await eventually(lambda: len(one) >= 20)
            await asyncio.to_thread(node.kill)
            await asyncio.to_thread(node.start)
            await asyncio.gather(*writing)
            await eventually(lambda: len(one) >= 160 and len(two) >= 160 and len(elsewhere) >= 80)
    for seen in (one, two):
        assert numbers(seen, 1) == numbers(seen, 2) == list(changes)
        assert {each.session_id for each in seen} == {"s1"}
    assert numbers(elsewhere, 3) == list(changes)
    assert len(elsewhere) == 80
    await peers.pool.close_idle()
