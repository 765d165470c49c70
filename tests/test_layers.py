"""The house's rules on imports: they go down only, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from labs.settings import ROOT

#: What each part may import of ours, besides itself. `base` is what everything stands on.
BASE = {"labs", "labs.errors", "labs.settings", "labs.failpoints", "labs.telemetry", "labs.processes", "labs.programs"}
ALLOWED = {
    "errors": set(),
    "settings": {"errors"},
    "failpoints": {"errors"},
    "telemetry": {"settings"},
    "processes": set(),
    "programs": {"errors"},
    "patterns": {"broker", "store", "settings"},
    "samples": set(),
    "pdf": set(),
    "messaging": set(),
    "store": set(),
    "llm": set(),
    "broker": set(),
    "relay": {"messaging", "store"},
    "systems": {"messaging", "store", "llm", "pdf"},
    "service": {"systems", "relay", "messaging", "store", "llm", "broker"},
    "stack": {"service", "systems", "relay", "messaging", "store", "llm", "broker", "samples"},
    "display": {"broker"},
    "notebook": {"patterns", "display", "stack", "systems", "messaging", "store", "llm", "broker"},
    "commands": {"stack", "service", "systems", "relay", "messaging", "store", "llm", "broker"},
    "__main__": {"commands"},
}
ON_BASE = set(ALLOWED) - {"errors", "settings", "failpoints", "telemetry", "processes", "programs", "patterns"}


def modules() -> list[Path]:
    return sorted((ROOT / "labs").rglob("*.py"))


def part_of(module: str) -> str:
    return [*module.split("."), ""][1]


def imports_of(path: Path) -> set[str]:
    """Dotted names of ours that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "labs" else {node.module}
    return {name for name in found if name.split(".")[0] == "labs"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    part = path.relative_to(ROOT / "labs").parts[0].removesuffix(".py")
    if part == "__init__":
        return
    assert part in ALLOWED, f"{part} is new: say in ALLOWED what it may import"
    if part == "patterns" and path.name != "address.py":
        foreign = {name for name in imports_of(path) if part_of(name) != "patterns"}
        assert not foreign, "a pattern takes nothing from the lab but addresses"
    base = {part_of(name) for name in BASE} if part in ON_BASE else set()
    allowed = ALLOWED[part] | base | {part, ""}
    foreign = {name for name in imports_of(path) if part_of(name) not in allowed}
    assert not foreign, f"{path.relative_to(ROOT)} may not import {sorted(foreign)}"


#: The engine knows nothing of the lab; what runs it finds the broker and draws charts in the lab's style.
ENGINE = ROOT / "loadtest" / "engine"
LOADTEST_ON = {"settings", "errors", "processes", "broker", "display", "patterns"}
#: Scenarios of the whole flow, and the guided run, start or address the service.
WITH_SERVICE = {"llm", "service", "stack", "store"}
SERVICE_USERS = {"guided.py", "place.py", "cover_letter.py", "cover_letter_sync.py", "letters.py"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "loadtest").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_load_tests_stand_on_little_of_the_lab(path: Path) -> None:
    foreign = {part_of(name) for name in imports_of(path)} - {""}
    allowed = set() if ENGINE in path.parents else LOADTEST_ON
    if path.name in SERVICE_USERS:
        allowed = allowed | WITH_SERVICE
    assert foreign <= allowed, f"{path.relative_to(ROOT)} may not import {sorted(foreign - allowed)}"
