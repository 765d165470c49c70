"""Every command explains itself with an example, and none makes its user wait for what it doesn't need."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from labs.__main__ import command_line

COMMANDS = [
    *(["up"], ["down"], ["status"], ["demo"], ["lab"], ["api"], ["relay"], ["worker"], ["stub"], ["token"], ["jobs"]),
    *(["dlq", "list"], ["dlq", "show"], ["dlq", "redrive"], ["asyncapi"], ["peers"], ["trial"], ["exercise"]),
]

#: Packages that take longer to import than the rest of a small command together.
HEAVY = {"fastapi", "openai", "psycopg", "pika", "httpx", "structlog", "labs.stack", "labs.broker"}

NEEDED = {
    "token": set(),
    "stub": set(),
    "relay": set(),
    "api": set(),
    "worker": set(),
    "asyncapi": set(),
    "peers": set(),
    "jobs": {"psycopg", "structlog", "httpx", "pika", "labs.broker", "labs.stack"},
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(command_line(command), [*command, "--help"], prog_name="labs")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"python -m labs {' '.join(command)}" in " ".join(result.stdout.split())


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(command_line(["--help"]), ["--help"])
    assert result.exit_code == 0
    listed = {line.strip("│ ").partition(" ")[0] for line in result.stdout.splitlines() if line.startswith("│ ")}
    assert {command[0] for command in COMMANDS} <= listed


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["up", "--workers", "0"],
        ["up", "--nonsense"],
        ["peers", "nonsense"],
        ["peers"],
        ["dlq", "nonsense"],
        ["dlq", "show"],
        [],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(command_line(arguments), arguments).exit_code == 2


@pytest.mark.parametrize("command", NEEDED)
def test_a_command_imports_only_what_it_needs(command: str) -> None:
    code = f"import sys; from labs.__main__ import command_line; command_line([{command!r}]); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & set(loaded) <= NEEDED[command]
