"""A Compose project of a test's own: its name, its ports, and the removal of all that it made."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent

#: A first build downloads packages; a start takes seconds.
BUILD_TIMEOUT_S = 900.0
COMMAND_TIMEOUT_S = 180.0

#: The engine picks a free port for each, so that a stack in use is never in the way.
HOST_PORTS = ("LAB_API_PORT", "LAB_AMQP_PORT", "LAB_MANAGEMENT_PORT", "LAB_JUPYTER_PORT", "LAB_LOCUST_PORT")


def _environment() -> dict[str, str]:
    """The caller's, without what would change the stack: his settings, his model key, his project."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "OPENAI_", "COMPOSE_"))}
    return ours | dict.fromkeys(HOST_PORTS, "0")


@dataclass
class Project:
    """One Compose project."""

    name: str = field(default_factory=lambda: f"lab-test-{secrets.token_hex(4)}")

    def compose(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run `docker compose` on the project; returns its standard output."""
        # An empty file instead of the checkout's own `.env`.
        options = ("--project-name", self.name, "--env-file", os.devnull)
        return _run("docker", "compose", *options, *arguments, timeout_s=timeout_s)

    def up(self, *services: str, profile: str | None = None, scale: str | None = None) -> None:
        """Build, start and wait until every service is healthy; `scale` is `service=number`."""
        profiles = ("--profile", profile) if profile else ()
        scales = ("--scale", scale) if scale else ()
        up = ("up", "--detach", "--build", "--wait", *scales, *services)
        try:
            self.compose(*profiles, *up, timeout_s=BUILD_TIMEOUT_S)
        except AssertionError as error:
            error.add_note(self.compose("logs", "--no-color", "--tail", "40"))
            raise

    def down(self) -> None:
        """Remove containers, networks, volumes and the images that were built."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "10")

    def address(self, service: str, port: int) -> tuple[str, int]:
        """Where a container's port is published on this machine."""
        host, _, published = self.compose("port", service, str(port)).strip().rpartition(":")
        return host, int(published)

    def containers(self, service: str) -> list[str]:
        """Ids of a service's running containers."""
        return self.compose("ps", "--quiet", service).split()

    def left(self) -> list[str]:
        """Containers, volumes and networks that carry the project's label."""
        label = f"label=com.docker.compose.project={self.name}"
        return [
            line
            for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
            for line in docker(*kind, "--filter", label, "--quiet").split()
        ]


def inspect(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", container))
    return found[0]


def docker(*arguments: str) -> str:
    """Run a `docker` command; returns its standard output."""
    return _run("docker", *arguments)


def _run(*command: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=timeout_s, check=False
    )
    # A build says much before it fails.
    end = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{end}"
    return done.stdout
