"""A trial's own Compose project: what the engine is told, and what it means when it doesn't answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from labs.broker import Cluster, Node
from labs.broker.commands import FakeCommands, Outcome
from labs.errors import BrokerUnavailable
from labs.trial.compose import ComposeBroker, ComposePostgres, Project
from labs.trial.targets import CLUSTER, COMPOSE, NODE, servers_on


def test_each_target_has_servers_of_its_own(tmp_path: Path) -> None:
    kinds = {target: type(servers_on(target, tmp_path).node) for target in (NODE, CLUSTER, COMPOSE)}
    assert kinds == {NODE: Node, CLUSTER: Cluster, COMPOSE: ComposeBroker}


def test_a_project_is_told_from_every_other_and_its_database_is_published_on_loopback(tmp_path: Path) -> None:
    commands = FakeCommands()
    project = Project(tmp_path / "one", commands=commands)
    ComposePostgres(project).start()
    assert project.name != Project(tmp_path / "two", commands=commands).name
    [up] = commands.ran
    assert up.startswith(f"docker compose --project-name {project.name} --env-file /dev/null")
    assert up.endswith("up --detach --wait postgres")
    assert "127.0.0.1:${LAB_TRIAL_POSTGRES_PORT}:5432" in (tmp_path / "one" / "ports.yml").read_text()


def test_a_container_is_killed_stopped_and_asked_by_its_name(tmp_path: Path) -> None:
    commands = FakeCommands(answers={"docker inspect": Outcome(0, "17\n"), "docker exec": Outcome(0, "ok\n")})
    project = Project(tmp_path, commands=commands)
    broker = ComposeBroker(project)
    broker.kill()
    assert broker.control("list_queues") == "ok\n"
    assert broker.pid == 17
    ComposePostgres(project).stop()
    assert commands.ran == [
        f"docker kill {project.name}-rabbitmq-1",
        f"docker exec {project.name}-rabbitmq-1 rabbitmqctl --quiet list_queues",
        f"docker inspect --format {{{{.State.Pid}}}} {project.name}-rabbitmq-1",
        f"docker inspect --format {{{{.State.Pid}}}} {project.name}-postgres-1",
        f"docker stop --time 20 {project.name}-postgres-1",
    ]


@pytest.mark.parametrize("answer", [Outcome(0, "0\n"), Outcome(1, "Error: No such object: x")])
def test_a_container_that_does_not_run_has_no_process(tmp_path: Path, answer: Outcome) -> None:
    commands = FakeCommands(answers={"docker inspect": answer})
    assert ComposeBroker(Project(tmp_path, commands=commands)).pid is None


def test_an_engine_that_does_not_answer_says_nothing_of_a_process(tmp_path: Path) -> None:
    gone = "dial unix /var/run/docker.sock: connect: no such file or directory"
    commands = FakeCommands(answers={"docker inspect": Outcome(1, gone)})
    with pytest.raises(BrokerUnavailable, match=rf"{gone}$"):
        _ = ComposeBroker(Project(tmp_path, commands=commands)).pid


def test_without_an_engine_the_error_says_so(tmp_path: Path) -> None:
    commands = FakeCommands(answers={"docker": Outcome(127, "docker: not found")})
    with pytest.raises(BrokerUnavailable, match="Is a Docker engine with Compose there"):
        ComposeBroker(Project(tmp_path, commands=commands)).start()
