"""Runs a chapter on a copy of the lab in which one thing is broken on purpose, until it tells another story."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbclient.exceptions import CellExecutionError

from labs.notebook import sweep
from labs.notebook.refresh import FOLDER, joined, kernel_for, read
from labs.settings import ROOT, Settings


@dataclass(frozen=True)
class Mutant:
    """One thing to break.

    Args:
        chapter: the notebook's name without its ending.
        file: below the top of the repository.
        old: a piece of its text, there once.
        new: what takes its place.
        told_by: a piece of the source of the cell that must notice: the one whose lesson is broken.
        without: pieces of the source of earlier cells that it can do without, and that take long.
    """

    chapter: str
    file: str
    old: str
    new: str
    told_by: str
    without: tuple[str, ...] = ()


class _Noticed(Exception):
    """A cell printed something else than what is committed."""


def copy_with(mutant: Mutant, folder: Path) -> Path:
    """A copy of packages and notebooks with the change made; returns the chapter."""
    for package in ("labs", "loadtest"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(FOLDER, folder / "notebooks", ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    broken = folder / mutant.file
    text = broken.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.file} holds {text.count(mutant.old)} times: {mutant.old}"
    broken.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    return folder / "notebooks" / f"{mutant.chapter}.ipynb"


def noticed_in(path: Path, settings: Settings, *, told_by: str, without: tuple[str, ...] = ()) -> Any | None:
    """Run a notebook until the cell with that piece of source fails, or prints what isn't committed.

    Cells with a piece of `without` in their source are left out; that the others don't miss them is made sure of.

    Returns that cell, else the first other one that did (its measurements may be another's noise), else None.
    """
    notebook = read(path)
    _leave_out(notebook, without)
    committed = [cell.get("outputs") for cell in notebook.cells]
    noticed: list[Any] = []

    def compare(*, cell: Any, cell_index: int, **_: Any) -> None:
        if "nbval-check-output" in cell.metadata.get("tags", ()) and _texts(cell.outputs) != _texts(
            committed[cell_index]
        ):
            noticed.append(cell)
            if told_by in cell.source:
                raise _Noticed

    def fail(*, cell: Any, **_: Any) -> None:
        assert not any(output.get("ename") == "NameError" for output in cell.outputs), f"left out too much: {cell}"
        noticed.append(cell)

    client = kernel_for(notebook, folder=path.parent, on_cell_executed=compare, on_cell_error=fail)
    # The copy of the packages comes before the installed one, in the kernel and in all that it starts.
    environment = {**os.environ, "PYTHONPATH": str(path.parent.parent), "LAB_HOME": str(settings.home)}
    try:
        client.execute(env=environment)
    except (_Noticed, CellExecutionError):
        assert noticed
    finally:
        sweep(settings)
    told = [cell for cell in noticed if told_by in cell.source]
    return next(iter(told or noticed), None)


def _leave_out(notebook: Any, pieces: tuple[str, ...]) -> None:
    for piece in pieces:
        [cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and piece in cell.source]
        cell.metadata.tags = ["skip-execution"]


def _texts(outputs: Any) -> list[str]:
    return [output.get("text", "") for output in joined(outputs)]
