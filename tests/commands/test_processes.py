"""The processes in the foreground, and the token: what they need, and what they say when it isn't there."""

from __future__ import annotations

import json
import socket
import time

import jwt
import pytest

from labs.settings import DEVELOPMENT_SECRET
from labs.stack.child import Child
from tests.commands.conftest import CommandLine, assert_failed


def test_a_token_is_one_line_that_its_api_accepts(nowhere: CommandLine) -> None:
    printed = nowhere.ok("token", "--user", "42", "--email", "ada@example.com", "--lifetime-s", "60")

    [line] = printed.splitlines()
    claims = jwt.decode(line, DEVELOPMENT_SECRET, algorithms=["HS256"], audience="careerops")
    assert (claims["sub"], claims["email"]) == ("42", "ada@example.com")
    assert 0 < claims["exp"] - time.time() <= 60


def test_a_token_may_name_its_user(nowhere: CommandLine) -> None:
    claims = jwt.decode(
        nowhere.ok("token", "--name", "user123").strip(), DEVELOPMENT_SECRET, algorithms=["HS256"], audience="careerops"
    )
    assert claims["sub"] == "user123"


@pytest.mark.parametrize("arguments", [("--user", "0"), ("--user", "ada"), ("--name", "a b"), ("--lifetime-s", "0")])
def test_a_token_for_nobody_is_wrong_usage(nowhere: CommandLine, arguments: tuple[str, str]) -> None:
    assert nowhere("token", *arguments).returncode == 2


def test_a_setting_that_is_wrong_is_named(nowhere: CommandLine) -> None:
    assert_failed(nowhere("token", LAB_TOKEN_LIFETIME_S="soon"), 1, "LAB_TOKEN_LIFETIME_S")


@pytest.mark.parametrize("command", ["worker", "relay", "peers user"])
def test_a_process_without_a_broker_says_how_to_get_one(nowhere: CommandLine, command: str) -> None:
    assert_failed(nowhere(*command.split()), 1, "no broker", "python -m labs up", "LAB_AMQP_URL")


@pytest.mark.parametrize("command", ["worker", "relay", "peers user", "api", "jobs"])
def test_a_process_without_a_database_says_how_to_get_one(nowhere: CommandLine, command: str) -> None:
    done = nowhere(*command.split(), LAB_AMQP_URL="amqp://127.0.0.1:1/")
    assert_failed(done, 1, "no database", "python -m labs up", "LAB_DATABASE_URL")


@pytest.mark.parametrize(("command", "variable"), [("api", "LAB_API_PORT"), ("stub", "LAB_STUB_PORT")])
def test_a_taken_port_is_one_clear_line(labs: CommandLine, command: str, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_failed(labs(command, "--port", port), 1, port, variable)


def test_dials_that_are_none_are_named(nowhere: CommandLine) -> None:
    assert_failed(nowhere("stub", LAB_STUB_DIALS='{"latency": 5}'), 1, "LAB_STUB_DIALS")


def test_every_process_says_in_one_line_that_it_is_ready_and_ends_with_0(
    labs: CommandLine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("processes")
    children = [Child(name, [name], environment=labs.environment, folder=folder) for name in ("stub", "api", "relay")]
    children.append(Child("worker", ["worker", "--prefetch", "3"], environment=labs.environment, folder=folder))
    try:
        for child in children:
            child.wait_ready()
            [line] = (folder / f"{child.name}.out").read_text().splitlines()
            assert json.loads(line).get("url") == child.url
            assert bool(child.url) == (child.name in {"stub", "api"})
    finally:
        for child in children:
            child.signal(15)
    assert {child.wait(timeout_s=60) for child in children} == {0}
