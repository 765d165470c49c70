"""What the pages in docs/ name exists: tests, routes, settings, commands and files."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labs.__main__ import command_line
from labs.settings import ROOT, Settings, variable_of
from tests.openapi import operations

PAGES = sorted((ROOT / "docs").glob("*.md"))
SYSTEMS = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")


@functools.cache
def functions_of(path: Path) -> set[str]:
    """The test functions of a file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    functions = (node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {name for name in functions if name.startswith("test_")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert name in functions_of(ROOT / path), f"{path}::{name}"


def test_every_item_names_the_test_that_holds_it() -> None:
    rows = [line for line in SYSTEMS.splitlines() if line.startswith("| ") and not line.endswith("| held by |")]
    assert len(rows) > 80
    assert [row for row in rows if "::" not in row.rpartition(" | ")[2]] == []


def test_every_route_is_there_and_no_route_is_missing() -> None:
    named = set(re.findall(r"`(GET|POST|PUT|DELETE|PATCH) (/[^`?]*)`", SYSTEMS))
    assert named == operations()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_exists(page: Path) -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    assert set(re.findall(r"`((?:LAB|OPENAI)_[A-Z_]+)`", page.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path) -> None:
    for command in set(re.findall(r"python -m labs ((?:dlq )?[a-z]+)", page.read_text(encoding="utf-8"))):
        asked = [*command.split(), "--help"]
        assert CliRunner().invoke(command_line(asked), asked).exit_code == 0, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_linked_file_and_heading_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in _headings(text)}
    for link in re.findall(r"\]\((?!http)([^)]+)\)", text):
        target, _, heading = link.partition("#")
        assert (page.parent / target).exists(), link
        assert target or heading in headings, link


def _headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]
