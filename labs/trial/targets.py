"""On what a trial can run: a private node, a private cluster of three, or the containers of docker-compose.yml."""

from __future__ import annotations

from pathlib import Path

from labs.broker import Cluster, Node
from labs.store.server import PostgresServer
from labs.trial.compose import ComposeBroker, ComposePostgres, Project
from labs.trial.servers import Servers

NODE, CLUSTER, COMPOSE = "node", "cluster", "compose"
TARGETS = (NODE, CLUSTER, COMPOSE)


def servers_on(target: str, home: Path) -> Servers:
    """The servers of a target, not started; all that they keep is in `home`, or in a Compose project named after it."""
    if target == COMPOSE:
        project = Project(home / "compose")
        return Servers(ComposeBroker(project), ComposePostgres(project))
    postgres = PostgresServer(home / "postgres")
    return Servers(Cluster(home / "cluster") if target == CLUSTER else Node(home / "broker"), postgres)
