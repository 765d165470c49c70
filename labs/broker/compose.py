"""The RabbitMQ of this checkout's docker-compose.yml, for machines that have a container engine but no RabbitMQ."""

from __future__ import annotations

from pathlib import Path

from labs.broker.commands import Commands, SystemCommands
from labs.broker.node_files import PASSWORD, USER
from labs.errors import BrokerNotFound, BrokerUnavailable
from labs.processes import Progress, quiet
from labs.settings import ROOT

AMQP_URL = f"amqp://{USER}:{PASSWORD}@127.0.0.1:5672/%2F"
MANAGEMENT_URL = f"http://{USER}:{PASSWORD}@127.0.0.1:15672"

#: The first start downloads the image.
START_TIMEOUT_S = 600.0


class Compose:
    """The `rabbitmq` service of the Compose file in `root`."""

    def __init__(self, root: Path = ROOT, *, commands: Commands | None = None) -> None:
        self._root = root
        self._commands = commands or SystemCommands()

    def is_available(self) -> bool:
        """Whether an engine answers, Compose is there, and the file too."""
        return (
            (self._root / "docker-compose.yml").is_file()
            and self._commands.has("docker")
            and self._commands.run(("docker", "compose", "version"), timeout_s=15).ok
            and self._commands.run(("docker", "info"), timeout_s=15).ok
        )

    def is_running(self) -> bool:
        """Whether the service of this checkout runs."""
        command = ("docker", "compose", "ps", "--status", "running", "--services")
        if not self.is_available():
            return False
        return "rabbitmq" in self._commands.run(command, timeout_s=30, directory=self._root).output.split()

    def start(self, progress: Progress = quiet) -> None:
        """Start it and wait until it is healthy; harmless if it runs.

        Raises:
            BrokerNotFound: no engine answers.
            BrokerUnavailable: it didn't come up.
        """
        if not self.is_available():
            raise BrokerNotFound("no Docker engine with Compose answers here: start one, or set LAB_AMQP_URL")
        progress("Starting RabbitMQ: docker compose up -d --wait rabbitmq")
        command = ("docker", "compose", "up", "-d", "--wait", "rabbitmq")
        outcome = self._commands.run(command, timeout_s=START_TIMEOUT_S, directory=self._root)
        if not outcome.ok:
            end = "\n".join(outcome.output.splitlines()[-10:])
            raise BrokerUnavailable(f"`{' '.join(command)}` failed:\n{end}\nSee `docker compose logs rabbitmq`.")

    def stop(self) -> None:
        """Stop the service; its data stays."""
        command = ("docker", "compose", "stop", "rabbitmq")
        outcome = self._commands.run(command, timeout_s=60, directory=self._root)
        if not outcome.ok:
            raise BrokerUnavailable(f"`{' '.join(command)}` failed: {outcome.output.strip()}")
