"""The command line as scripts see it: processes, exit codes, and what they print; each test in a home of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from labs.__main__ import command_line
from labs.broker import Broker, VirtualHost
from labs.commands import shared
from labs.settings import get_settings

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class CommandLine:
    """Runs `python -m labs ...` with an environment of its own."""

    environment: dict[str, str]

    def __call__(self, *arguments: str, **variables: str) -> Done:
        """Run it in this process, which saves a second of imports; for commands that start no process's main loop."""
        printed, said = io.StringIO(), io.StringIO()
        get_settings.cache_clear()
        try:
            with (
                mock.patch.dict(os.environ, self.environment | variables, clear=True),
                contextlib.redirect_stdout(printed),
                contextlib.redirect_stderr(said),
                mock.patch.object(sys, "argv", ["labs", *arguments]),
            ):
                status = shared.guarded(command_line(list(arguments)))
        finally:
            get_settings.cache_clear()
        return Done([*arguments], status, printed.getvalue(), said.getvalue())

    def process(self, *arguments: str, **variables: str) -> Done:
        """Run it as a process."""
        return subprocess.run(
            [sys.executable, "-m", "labs", *arguments],
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def ok(self, *arguments: str, **variables: str) -> str:
        """Run it, expect success, and return what it printed for the next program in the pipe."""
        done = self(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout


def assert_failed(done: Done, code: int, *words: str) -> None:
    """It failed with that code, and said why in one line of standard error that contains these words."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def nowhere(home: Path) -> CommandLine:
    """A command line in an empty home: no broker, no database."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "OPENAI_", "RABBITMQ_"))}
    ports = {"LAB_API_PORT": "0", "LAB_STUB_PORT": "0"}
    return CommandLine({**plain, **ports, "OPENAI_API_KEY": "", "OPENAI_BASE_URL": "", "LAB_HOME": str(home)})


@pytest.fixture
def labs(nowhere: CommandLine, broker: Broker, vhost: VirtualHost, database_url: str) -> Iterator[CommandLine]:
    """A command line with a virtual host and a database of its own; what it has left running is ended."""
    given = {
        "LAB_AMQP_URL": vhost.amqp_url,
        "LAB_MANAGEMENT_URL": broker.management_url,
        "LAB_DATABASE_URL": database_url,
        "LAB_RETRY_DELAYS_MS": "10,20",
        "LAB_STUB_DIALS": '{"latency": {"kind": "constant", "ms": 20}}',
    }
    made = CommandLine(nowhere.environment | given)
    yield made
    made("down")
