"""A system keeps its promises on the containers of docker-compose.yml too, and nothing of the trial is left there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labs.processes import quiet
from labs.trial import folder
from labs.trial.checker import Verdict, check
from labs.trial.compose import ComposeBroker
from labs.trial.faults import FAULTS
from labs.trial.runner import Trial, run
from labs.trial.servers import Servers
from labs.trial.subjects import SUBJECTS
from labs.trial.targets import COMPOSE, servers_on
from tests.compose.project import docker

#: Those that break what is in containers; the others break what is on this machine, as on any target.
CONTAINED = (
    *("broker-restart", "broker-stop-app", "memory-alarm", "disk-alarm", "connections-closed", "queue-deleted"),
    *("queue-purged", "permission-revoked", "worker-stop", "database-restart", "database-connections-cut"),
)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = servers_on(COMPOSE, tmp_path_factory.mktemp("trial"))
    try:
        servers.node.start()
        servers.postgres.start()
        yield servers
    finally:
        servers.node.stop()
    for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls")):
        assert "labtrial-" not in docker(*kind)


def tried(servers: Servers, path: Path, *names: str) -> None:
    faults = [FAULTS[name] for name in names]
    what = Trial(subject=SUBJECTS["cover-letters"], faults=faults, seed=7, seconds=5, folder=path, on=COMPOSE)
    run(what, servers, progress=quiet)
    manifest, events = folder.load(path)
    result = check(events, manifest.promises)
    assert result.verdict == Verdict.VALID, "\n".join([result.why, *result.story])
    assert manifest.on == COMPOSE


@pytest.mark.long
def test_a_trial_on_containers(servers: Servers, tmp_path: Path) -> None:
    assert isinstance(servers.node, ComposeBroker)
    tried(servers, tmp_path / "trial", "memory-alarm", "worker-kill")


@pytest.mark.long
@pytest.mark.parametrize("name", CONTAINED)
def test_each_fault_of_what_is_in_containers(servers: Servers, tmp_path: Path, name: str) -> None:
    tried(servers, tmp_path / "trial", name)
