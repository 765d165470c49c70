"""A broker and a database that failure tests may kill: nobody else uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from labs.broker import Node
from labs.store.server import PostgresServer
from tests.faults.faulty import FAULTY, Faulty
from tests.faults.system import System, running_system

RunSystem = Callable[..., AbstractContextManager[System]]


@pytest.fixture(scope="session")
def node(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A private node."""
    node = Node(tmp_path_factory.mktemp("broker"))
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.remove()


@pytest.fixture(params=FAULTY, ids=str)
def kind(request: pytest.FixtureRequest) -> Faulty:
    """Every system."""
    found: Faulty = request.param
    return found


@pytest.fixture
def run_system(node: Node, postgres: PostgresServer, tmp_path: Path, kind: Faulty) -> RunSystem:
    """Starts a system for the length of a block: `with run_system(workers=2, lease_s=1) as system`."""
    return partial(running_system, node, postgres, kind, folder=tmp_path)
