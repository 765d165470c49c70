"""Finds the RabbitMQ that the machine's package manager has installed, on Debian, Fedora, macOS and in containers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: The scripts themselves, in the order of preference. Those on the PATH (/usr/sbin) are wrappers that switch to the
#: user `rabbitmq` and so can't run a private node.
SCRIPTS = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",  # Debian, Ubuntu, Fedora
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
    "/usr/lib64/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",  # the container image
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",  # Homebrew on Apple silicon
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",  # Homebrew on Intel
    "/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin/rabbitmq-server",
)

#: `rabbitmq_server-3.10.8/` or Homebrew's `Cellar/rabbitmq/4.1.2/`.
_VERSION = re.compile(r"(?:rabbitmq_server-|/rabbitmq/)(\d+(?:\.\d+)+)")


@dataclass(frozen=True)
class Package:
    """An installed RabbitMQ: its server script, and its version if the path tells."""

    script: Path
    version: str | None


def find_package(patterns: Iterable[str] = SCRIPTS) -> Package | None:
    """The installed RabbitMQ; the newest of several under one pattern; None if there is none."""
    for pattern in patterns:
        scripts = [path for path in Path("/").glob(pattern.lstrip("/")) if path.is_file()]
        if scripts:
            return max((_package(script) for script in scripts), key=lambda found: _numbers(found.version))
    return None


def _package(script: Path) -> Package:
    match = _VERSION.search(str(script.resolve()))
    return Package(script, match[1] if match else None)


def _numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")) if version else ()
