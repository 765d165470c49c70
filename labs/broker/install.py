"""Installs `rabbitmq-server` with the machine's own package manager, and keeps it from starting a system broker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labs.broker.commands import Commands, SystemCommands
from labs.errors import BrokerNotFound
from labs.processes import Progress, quiet

#: Debian's package scripts ask this program whether they may start a service; 101 is "no".
POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_SCRIPT = "#!/bin/sh\nexit 101\n"

#: A slow mirror is no error, a dead one is.
STEP_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Manager:
    """A package manager: its program, what to type, and whether it must be root."""

    program: str
    steps: tuple[tuple[str, ...], ...]
    needs_root: bool = True


MANAGERS = (
    Manager(
        "apt-get",
        (
            ("apt-get", "update", "-q"),
            ("apt-get", "install", "-q", "-y", "--no-install-recommends", "rabbitmq-server"),
        ),
    ),
    Manager("dnf", (("dnf", "install", "-y", "--setopt=install_weak_deps=False", "rabbitmq-server"),)),
    # Homebrew refuses to run as root, and starts no service unasked.
    Manager("brew", (("brew", "install", "rabbitmq"),), needs_root=False),
)


def find_manager(commands: Commands) -> Manager | None:
    """The package manager of this machine, if it is one of ours."""
    return next((manager for manager in MANAGERS if commands.has(manager.program)), None)


def install(
    progress: Progress = quiet, *, commands: Commands | None = None, user_id: int | None = None, policy: Path = POLICY
) -> None:
    """Install RabbitMQ; takes about ten seconds and the download.

    Raises:
        BrokerNotFound: there is no package manager of ours, no right to use it, or it failed; says what to type.
    """
    commands = commands or SystemCommands()
    user_id = os.geteuid() if user_id is None else user_id
    manager = find_manager(commands)
    if manager is None:
        raise BrokerNotFound("no apt-get, dnf or brew here: install rabbitmq-server yourself, or set LAB_AMQP_URL")
    prefix = _prefix(manager, commands, user_id)
    with _no_service_start(manager, commands, prefix, policy):
        for step in manager.steps:
            _run(commands, (*prefix, *step), progress)


def _prefix(manager: Manager, commands: Commands, user_id: int) -> tuple[str, ...]:
    """What goes before a step so that it has the rights and asks nothing."""
    quietly = ("env", "DEBIAN_FRONTEND=noninteractive") if manager.program == "apt-get" else ()
    if not manager.needs_root or user_id == 0:
        return quietly
    by_hand = " && ".join("sudo " + " ".join(step) for step in manager.steps)
    if not commands.has("sudo") or not commands.run(("sudo", "-n", "true"), timeout_s=10).ok:
        raise BrokerNotFound(f"RabbitMQ must be installed by root, and sudo would ask for a password. Type: {by_hand}")
    return ("sudo", "-n", *quietly)


def _run(commands: Commands, command: tuple[str, ...], progress: Progress) -> None:
    line = " ".join(command)
    progress(f"Installing RabbitMQ: {line}")
    outcome = commands.run(command, timeout_s=STEP_TIMEOUT_S)
    if not outcome.ok:
        end = "\n".join(outcome.output.splitlines()[-10:])
        raise BrokerNotFound(f"`{line}` failed ({outcome.status}):\n{end}\nRun it by hand, or set LAB_AMQP_URL.")


@contextmanager
def _no_service_start(manager: Manager, commands: Commands, prefix: tuple[str, ...], policy: Path) -> Iterator[None]:
    """Forbid the package to start a broker of its own; a rule that is there already is left as it is."""
    if manager.program != "apt-get" or policy.exists():
        yield
        return
    script = f"printf '%s' '{_POLICY_SCRIPT}' > '{policy}' && chmod 755 '{policy}'"
    commands.run((*prefix, "sh", "-c", script), timeout_s=10)
    try:
        yield
    finally:
        commands.run((*prefix, "rm", "-f", str(policy)), timeout_s=10)
