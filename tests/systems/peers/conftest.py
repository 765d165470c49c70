"""The peers' services for one test; all share a virtual host, so each test begins with empty queues."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from labs.broker import VirtualHost
from labs.store.database import Database
from labs.systems.peers.topology import MATCHING_QUEUE
from tests.systems.peers.bench import Peers


@pytest.fixture
async def peers(systems_vhost: VirtualHost, database: Database, systems_database_url: str) -> AsyncIterator[Peers]:
    for queue in systems_vhost.queues():
        if queue.name.startswith(MATCHING_QUEUE):
            # A quorum queue that is declared again right after it was deleted may hang for a minute.
            systems_vhost.management.purge_queue(systems_vhost.name, queue.name)
        if queue.name.startswith("collaboration.participant."):
            systems_vhost.management.delete_queue(systems_vhost.name, queue.name)
    made = Peers(systems_vhost.amqp_url, database, systems_database_url)
    yield made
    await made.pool.close_idle()
