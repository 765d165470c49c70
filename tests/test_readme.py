"""What the README says exists: make targets, commands, settings, routes and files."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from benchmarks.__main__ import MEASUREMENTS
from labs.settings import ROOT, Settings, variable_of
from tests.openapi import operations

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)`", README)) | set(
        re.findall(r"^make ([a-z-]+)", README + CONTRIBUTING, re.M)
    )
    assert named
    assert named <= targets


@pytest.mark.parametrize("command", sorted(set(re.findall(r"-m labs ((?:dlq )?[a-z]+)", README))))
def test_every_command_exists(command: str) -> None:
    result = subprocess.run([sys.executable, "-m", "labs", *command.split(), "--help"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Example" in result.stdout


def test_every_benchmark_is_named() -> None:
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", README.partition("python -m benchmarks")[2], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"[a-z-]+", row)} == set(MEASUREMENTS)


def test_every_setting_exists() -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    named = set(re.findall(r"\b(?:LAB|OPENAI)_[A-Z_]+\b", README))
    assert named
    assert named <= known


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_route_exists() -> None:
    named = set(re.findall(r"`(GET|POST|PUT) (/api/[^`]*)`", README))
    assert named
    assert named <= operations()
