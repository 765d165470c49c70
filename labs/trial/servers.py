"""What a trial needs of a broker and of a database, whatever they run on: to break them, and to see that they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from labs.broker.node import CONTROL_TIMEOUT_S


class BrokerServer(Protocol):
    """A RabbitMQ of the trial's own: `labs.broker.Node`, `labs.broker.Cluster` or one under Compose."""

    @property
    def amqp_url(self) -> str:
        """Of the virtual host `/`."""

    @property
    def management_url(self) -> str:
        """With the credentials."""

    @property
    def version(self) -> str | None:
        """As of the last start."""

    @property
    def pid(self) -> int | None:
        """Of a process of it, if one runs."""

    def start(self) -> None:
        """Start what doesn't run; returns when it answers."""

    def stop(self) -> None:
        """End it in good order."""

    def kill(self) -> None:
        """End it as a crash does."""

    def settle(self) -> None:
        """Bring to disk what was declared."""

    def is_running(self) -> bool:
        """Whether all of it runs and answers."""

    def control(self, *arguments: str, timeout_s: float = CONTROL_TIMEOUT_S) -> str:
        """What `rabbitmqctl` prints."""

    def read_log(self) -> str:
        """All that it has logged."""


class DatabaseServer(Protocol):
    """A PostgreSQL of the trial's own: `labs.store.server.PostgresServer` or one under Compose."""

    @property
    def pid(self) -> int | None:
        """Of its process, if it runs."""

    def start(self) -> None:
        """Start it unless it runs; returns when it answers."""

    def stop(self) -> None:
        """Stop it; sessions are ended, commits kept."""

    def create_database(self, name: str) -> str:
        """Make a database; returns its URL."""

    def drop_database(self, name: str) -> None:
        """Drop it, and end its sessions."""

    def read_log(self) -> str:
        """All that it has logged."""


@dataclass(frozen=True)
class Servers:
    """The broker and the database of a trial, running."""

    node: BrokerServer
    postgres: DatabaseServer
