"""Real parts for every test: a broker with a virtual host of its own, and a database of its own.

Both are found, started or installed as the lab itself does it. Where no broker can be had tests skip; in CI they fail.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator

import hypothesis
import psycopg
import pytest
import structlog
from psycopg import conninfo, sql

from labs.broker import Broker, VirtualHost, find_package, install_package, resolve, virtual_host
from labs.errors import BrokerError
from labs.settings import Settings, load_settings
from labs.store.server import resolve_database

IN_CI = os.environ.get("CI", "") not in {"", "0", "false"}

# The same examples in every run, and as long as they take: what fails was broken by a change, not by chance.
hypothesis.settings.register_profile(
    "lab", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("lab")


@pytest.fixture(autouse=True)
def default_logs() -> Iterator[None]:
    """Logs are for the whole process: what a test makes of them, its notebook's silence for one, ends with it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings()


@pytest.fixture(scope="session")
def broker(settings: Settings) -> Broker:
    """A broker that other tests use too: don't stop it. Found, started or installed, as the lab does it."""
    try:
        return resolve(settings)
    except BrokerError as error:
        if IN_CI:
            pytest.fail(f"CI must not skip: {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def installed(settings: Settings) -> None:
    """RabbitMQ on this machine, whatever broker other tests use: for tests that run nodes of their own."""
    if find_package() is None and not IN_CI:
        pytest.skip("no RabbitMQ on this machine: `make demo` installs it")
    install_package(settings)


@pytest.fixture
def vhost(broker: Broker, settings: Settings) -> Iterator[VirtualHost]:
    """A virtual host for one test."""
    with virtual_host("test", settings=settings) as made:
        yield made


@pytest.fixture(scope="session")
def make_database(settings: Settings) -> Iterator[Callable[[], str]]:
    """Makes databases, each gone at the end of the session."""
    url = resolve_database(settings)
    made: list[str] = []

    def make() -> str:
        name = f"test_{secrets.token_hex(4)}"
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return conninfo.make_conninfo(url, dbname=name)

    yield make
    with psycopg.connect(url, autocommit=True) as db:
        for name in made:
            db.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(make_database: Callable[[], str]) -> str:
    """An empty database for one test."""
    return make_database()
