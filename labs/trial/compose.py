"""Broker and database of a trial under Docker Compose: those of docker-compose.yml, in a project of the trial's own.

They are RabbitMQ 4.3 and PostgreSQL 18, published on ports of 127.0.0.1 that stay the same while the project lives;
the system's own processes run on this machine, as always. `stop` removes containers, networks and data.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from labs.broker import Management
from labs.broker.commands import Commands, SystemCommands
from labs.broker.node import CONTROL_TIMEOUT_S, SETTLE_TIMEOUT_S, TO_DISK
from labs.broker.node_files import PASSWORD, USER
from labs.errors import BrokerError, BrokerUnavailable, DatabaseUnavailable
from labs.processes import Progress, free_ports, quiet
from labs.settings import ROOT

_BROKER, _DATABASE = "rabbitmq", "postgres"
#: The first start downloads the images.
_START_TIMEOUT_S = 600.0
_TIMEOUT_S = 90.0
_ASKING_S = 10.0
#: docker-compose.yml publishes the database nowhere.
_PORTS = """services:
  postgres:
    ports:
      - 127.0.0.1:${LAB_TRIAL_POSTGRES_PORT}:5432
"""


class Project:
    """A Compose project with the two services; its file and its name follow from `home`."""

    def __init__(self, home: Path, *, commands: Commands | None = None) -> None:
        home = Path(home).absolute()
        self.name = f"labtrial-{hashlib.sha256(os.fsencode(home)).hexdigest()[:8]}"
        self.amqp, self.management, self.database = free_ports(3, seed=self.name)
        self._commands = commands or SystemCommands()
        self._file = home / "ports.yml"

    def up(self, service: str) -> None:
        """Start a service unless it runs, and wait until it is healthy.

        Raises:
            BrokerUnavailable: no engine answers, or it did not come up.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(_PORTS)
        self._run(*self._compose(), "up", "--detach", "--wait", service, timeout_s=_START_TIMEOUT_S)

    def down(self) -> None:
        """Remove everything of the project."""
        if self._file.exists():
            self._run(*self._compose(), "down", "--volumes", "--remove-orphans", "--timeout", "20")

    def docker(self, command: str, *arguments: str, service: str, timeout_s: float = _TIMEOUT_S) -> str:
        """A command on a service's container: what it prints. `arguments` come after the container's name."""
        return self._run("docker", *command.split(), f"{self.name}-{service}-1", *arguments, timeout_s=timeout_s)

    def pid(self, service: str) -> int | None:
        """The first process of a service's container, if it runs.

        Raises:
            BrokerUnavailable: the engine doesn't say.
        """
        try:
            return int(self.docker("inspect --format {{.State.Pid}}", service=service)) or None
        except BrokerUnavailable as error:
            if re.search("no such (object|container)", str(error), re.IGNORECASE):
                return None
            raise

    def _compose(self) -> tuple[str, ...]:
        files = ("--file", str(ROOT / "docker-compose.yml"), "--file", str(self._file))
        return ("docker", "compose", "--project-name", self.name, "--env-file", os.devnull, *files)

    def _run(self, *command: str, timeout_s: float = _TIMEOUT_S) -> str:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "COMPOSE_"))}
        ports = {"AMQP": self.amqp, "MANAGEMENT": self.management, "TRIAL_POSTGRES": self.database}
        ours |= {f"LAB_{name}_PORT": str(port) for name, port in ports.items()}
        outcome = self._commands.run(command, timeout_s=timeout_s, environment=ours, directory=ROOT)
        if not outcome.ok:
            end = "\n".join(outcome.output.splitlines()[-10:])
            asked = (("docker", "info"), ("docker", "compose", "version"))
            there = (
                self._commands.run(each, timeout_s=_ASKING_S, environment=ours, directory=ROOT).ok for each in asked
            )
            question = "" if all(there) else "\nIs a Docker engine with Compose there?"
            raise BrokerUnavailable(f"`{' '.join(command)}` failed:\n{end}{question}")
        return outcome.output


class ComposeBroker:
    """The broker of such a project; see `labs.trial.servers.BrokerServer`."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.version: str | None = None

    @property
    def amqp_url(self) -> str:
        """Of the virtual host `/`."""
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self._project.amqp}/%2F"

    @property
    def management_url(self) -> str:
        """With the credentials."""
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self._project.management}"

    @property
    def pid(self) -> int | None:
        """The container's first process, if it runs."""
        return self._project.pid(_BROKER)

    def start(self, progress: Progress = quiet) -> None:
        """Start it unless it runs; returns when its management API answers too."""
        progress("Starting RabbitMQ under Compose")
        self._project.up(_BROKER)
        with Management(self.management_url) as management:
            self.version = management.wait_until_ready().version

    def stop(self) -> None:
        """Remove it, with the database and all data."""
        self._project.down()

    def kill(self) -> None:
        """`docker kill`: SIGKILL to the container."""
        self._project.docker("kill", service=_BROKER)

    def settle(self) -> None:
        """As `labs.broker.Node.settle`."""
        self.control("eval", TO_DISK, timeout_s=SETTLE_TIMEOUT_S)

    def is_running(self) -> bool:
        """Whether it runs and answers."""
        try:
            with Management(self.management_url, timeout_s=3) as management:
                return bool(management.overview().node)
        except BrokerError:
            return False

    def control(self, *arguments: str, timeout_s: float = CONTROL_TIMEOUT_S) -> str:
        """What `rabbitmqctl` in the container prints."""
        command = ("rabbitmqctl", "--quiet", *arguments)
        return self._project.docker("exec", *command, service=_BROKER, timeout_s=timeout_s)

    def read_log(self) -> str:
        """What the container has printed."""
        return self._project.docker("logs", service=_BROKER)


class ComposePostgres:
    """The database of such a project; see `labs.trial.servers.DatabaseServer`."""

    def __init__(self, project: Project) -> None:
        self._project = project

    @property
    def pid(self) -> int | None:
        """The container's first process, if it runs."""
        return self._project.pid(_DATABASE)

    def start(self, progress: Progress = quiet) -> None:
        """Start it unless it runs; returns when it answers."""
        progress("Starting PostgreSQL under Compose")
        self._project.up(_DATABASE)

    def stop(self) -> None:
        """Stop it in good order; its data stays, while the project is there."""
        if self.pid is not None:
            self._project.docker("stop --time 20", service=_DATABASE)

    def url_of(self, database: str) -> str:
        """URL of one of its databases."""
        return f"postgresql://careerops:careerops@127.0.0.1:{self._project.database}/{quote(database, safe='')}"

    def create_database(self, name: str) -> str:
        """Make a database; returns its URL."""
        self._execute("CREATE DATABASE {}", name)
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and end its sessions; harmless if there is none."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def read_log(self) -> str:
        """What the container has printed."""
        return self._project.docker("logs", service=_DATABASE)

    def _execute(self, statement: str, name: str) -> None:
        try:
            with psycopg.connect(self.url_of("postgres"), autocommit=True, connect_timeout=5) as connection:
                connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(f"the PostgreSQL under Compose doesn't answer ({error})") from error
