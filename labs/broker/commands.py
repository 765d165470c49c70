"""Runs programs of the machine; a real class and a double of it, so that decisions are tested without acting."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Outcome:
    """How a program ended: its exit status and what it said on both outputs."""

    status: int
    output: str = ""

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.status == 0


class Commands(Protocol):
    """What the installer and Compose need of a machine."""

    def has(self, program: str) -> bool:
        """Whether such a program is on the PATH."""

    def run(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Outcome:
        """Run it to its end; never raises because it failed, hung or is missing."""


class SystemCommands:
    """The commands of this machine."""

    def has(self, program: str) -> bool:
        """Whether such a program is on the PATH."""
        return shutil.which(program) is not None

    def run(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Outcome:
        """Run it to its end, without input; `environment` is the whole of it, ours if not given."""
        try:
            result = subprocess.run(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                env=dict(environment) if environment is not None else None,
                cwd=directory,
            )
        except subprocess.TimeoutExpired:
            return Outcome(124, f"did not end within {timeout_s:.0f} s")
        except OSError as error:
            return Outcome(127, str(error))
        return Outcome(result.returncode, result.stdout)


@dataclass
class FakeCommands:
    """A machine for tests: has the programs you say, answers as you say, and remembers what it was asked."""

    programs: set[str] = field(default_factory=set)
    #: Beginning of a command line to how it ends; anything else succeeds in silence.
    answers: dict[str, Outcome] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    def has(self, program: str) -> bool:
        """Whether the test said so."""
        return program in self.programs

    def run(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,  # noqa: ARG002 (nothing takes time here)
        environment: Mapping[str, str] | None = None,  # noqa: ARG002
        directory: Path | None = None,  # noqa: ARG002
    ) -> Outcome:
        """Remember the command; the answer whose key it begins with, or success."""
        line = " ".join(command)
        self.ran.append(line)
        return next((answer for key, answer in self.answers.items() if line.startswith(key)), Outcome(0))
