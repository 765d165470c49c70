"""A broker and a database that trials may break: one of each for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from labs.broker import Cluster, Node
from labs.store.server import PostgresServer
from labs.trial.history import History
from labs.trial.servers import Servers
from labs.trial.site import Site, running_site
from labs.trial.subjects import SUBJECTS


@contextmanager
def breakable(broker: Node | Cluster, factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A broker and a database, started; both are gone at the end."""
    postgres = PostgresServer(factory.mktemp("trial-postgres"))
    try:
        broker.start()
        postgres.start()
        yield Servers(broker, postgres)
    finally:
        broker.stop()
        postgres.remove()


@contextmanager
def letters_on_trial(servers: Servers, factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The cover-letter system, on trial."""
    folder = factory.mktemp("trial")
    with (
        History(folder / "history.jsonl") as history,
        running_site(servers, SUBJECTS["cover-letters"], history, folder=folder / "logs") as site,
    ):
        yield site


@pytest.fixture(scope="session")
def servers(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with breakable(Node(tmp_path_factory.mktemp("trial-broker")), tmp_path_factory) as servers:
        yield servers


@pytest.fixture(scope="session")
def site(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with letters_on_trial(servers, tmp_path_factory) as site:
        yield site
