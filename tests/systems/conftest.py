"""One database and one virtual host for all tests of the systems; tables are emptied before each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from labs.broker import Broker, VirtualHost, virtual_host
from labs.settings import Settings
from labs.store.database import Database
from tests.databases import opened


@pytest.fixture(scope="session")
def systems_database_url(make_database: Callable[[], str]) -> str:
    return make_database()


@pytest.fixture
async def database(systems_database_url: str) -> AsyncIterator[Database]:
    async with opened(systems_database_url) as database:
        yield database


@pytest.fixture(scope="session")
def systems_vhost(broker: Broker, settings: Settings) -> Iterator[VirtualHost]:
    with virtual_host("systems", settings=settings) as made:
        yield made
