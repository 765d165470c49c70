"""One virtual host for all tests of messaging, since making one costs more than most tests; each has its own queues."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labs.broker import Broker, VirtualHost, virtual_host
from labs.settings import Settings
from tests.workbench import Workbench, workbench_in


@pytest.fixture(scope="session")
def messaging_vhost(broker: Broker, settings: Settings) -> Iterator[VirtualHost]:
    with virtual_host("messaging", settings=settings) as made:
        yield made


@pytest.fixture
def bench(messaging_vhost: VirtualHost) -> Workbench:
    """A work queue of this test alone."""
    return workbench_in(messaging_vhost)
