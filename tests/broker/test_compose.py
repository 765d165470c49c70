"""What we ask of Docker Compose; the containers themselves have tests of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from labs.broker.commands import FakeCommands, Outcome
from labs.broker.compose import Compose
from labs.errors import BrokerNotFound, BrokerUnavailable


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "docker-compose.yml").write_text("services: {rabbitmq: {}}\n")
    return tmp_path


def test_it_starts_the_broker_alone_and_waits_until_it_is_healthy(checkout: Path) -> None:
    commands, said = FakeCommands({"docker"}), []
    Compose(checkout, commands=commands).start(said.append)
    assert commands.ran[-1] == "docker compose up -d --wait rabbitmq"
    assert said == ["Starting RabbitMQ: docker compose up -d --wait rabbitmq"]


def test_a_client_without_an_engine_is_no_engine(checkout: Path) -> None:
    commands = FakeCommands({"docker"}, answers={"docker info": Outcome(1, "Cannot connect to the Docker daemon")})
    with pytest.raises(BrokerNotFound, match="no Docker engine"):
        Compose(checkout, commands=commands).start()


def test_a_checkout_without_compose_file_has_no_service(tmp_path: Path) -> None:
    assert not Compose(tmp_path, commands=FakeCommands({"docker"})).is_available()


def test_it_runs_when_compose_lists_it(checkout: Path) -> None:
    listing = {"docker compose ps": Outcome(0, "postgres\nrabbitmq\n")}
    assert Compose(checkout, commands=FakeCommands({"docker"}, answers=listing)).is_running()
    assert not Compose(checkout, commands=FakeCommands({"docker"})).is_running()


def test_a_failed_start_shows_what_compose_said(checkout: Path) -> None:
    commands = FakeCommands({"docker"}, answers={"docker compose up": Outcome(1, "port is already allocated")})
    with pytest.raises(BrokerUnavailable, match="port is already allocated"):
        Compose(checkout, commands=commands).start()
