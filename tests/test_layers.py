"""The house's rules on imports: they go down only, and never in a circle."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest

from labs.settings import ROOT

#: What each part may import of ours, besides itself. `base` is what everything stands on.
BASE = {
    "labs",
    "labs.errors",
    "labs.settings",
    "labs.failpoints",
    "labs.telemetry",
    "labs.processes",
    "labs.programs",
    "labs.tls",
}
ALLOWED = {
    "errors": set(),
    "settings": {"errors"},
    "failpoints": {"errors"},
    "telemetry": {"settings"},
    "processes": set(),
    "programs": {"errors"},
    "tls": set(),
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
    "display": {"broker", "trial"},
    "trial": {"stack", "systems", "messaging", "store", "llm", "broker"},
    "notebook": {"patterns", "display", "trial", "stack", "systems", "messaging", "store", "llm", "broker"},
    "commands": {"trial", "display", "stack", "service", "systems", "relay", "messaging", "store", "llm", "broker"},
    "__main__": {"commands"},
}
ON_BASE = set(ALLOWED) - {"errors", "settings", "failpoints", "telemetry", "processes", "programs", "tls", "patterns"}


def modules() -> list[Path]:
    return sorted((ROOT / "labs").rglob("*.py"))


def part_of(module: str) -> str:
    return [*module.split("."), ""][1]


def imports_of(path: Path, top: str = "labs") -> set[str]:
    """Dotted names of the lab, or of another package of ours, that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "later":
            found |= {str(ast.literal_eval(argument)).partition(":")[0] for argument in node.args}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == top else {node.module}
    return {name for name in found if name.split(".")[0] == top}


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


#: Packages that stand on each other, the lowest first: none knows of those above it.
PACKAGES = ("labs", "loadtest", "benchmarks", "tests")


@pytest.mark.parametrize("package", PACKAGES[:-1])
def test_a_package_knows_nothing_of_those_that_stand_on_it(package: str) -> None:
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for top in above
        for name in imports_of(path, top)
    }
    assert not found


SYSTEMS = sorted(path.parent for path in (ROOT / "labs" / "systems").glob("*/system.py"))


@pytest.mark.parametrize("folder", SYSTEMS, ids=lambda path: path.name)
def test_a_system_stays_small(folder: Path) -> None:
    assert sum(len(lines_of_code(path)) for path in folder.rglob("*.py")) <= 500, "what is common is for the library"


def lines_of_code(path: Path) -> set[int]:
    """The lines that hold more than comments and docstrings."""
    source = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and ast.get_docstring(node) is not None:
                lines.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
