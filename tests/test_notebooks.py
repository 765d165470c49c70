"""The committed notebooks: executed from top to bottom, nothing of the machine in them, every exercise solvable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from labs.broker import Broker
from labs.notebook.refresh import FOLDER, IMAGES, PICTURES, picture, read, run

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_BYTES = 1_000_000
#: Folders of one machine, addresses of objects, and terminal colours.
NOISE = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|Users|private|var)/|0x[0-9a-f]{6,}|\x1b\[|Warning\b|WARNING")
IMAGE_TYPES = ("image/png", "image/svg+xml")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tagged(notebook: Any, tag: str) -> list[Any]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]


def texts(cell: Any) -> Iterator[str]:
    """The source of a cell and every text of its outputs."""
    yield cell.source
    for output in cell.get("outputs", ()):
        yield output.get("text", "")
        yield from (text for kind, text in output.get("data", {}).items() if kind != "image/png")


def test_there_are_notebooks() -> None:
    assert {"00_start", "09_cover_letter_system"} <= {path.stem for path in NOTEBOOKS}


@each_notebook
def test_a_notebook_is_valid_and_has_no_metadata_of_one_machine(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}, "run `python -m labs.notebook.refresh`"
    assert set(notebook.metadata.language_info) == {"name"}, "run `python -m labs.notebook.refresh`"
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)


@each_notebook
def test_every_cell_was_executed_in_order_without_an_error(path: Path) -> None:
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


@each_notebook
def test_compared_cells_have_text_to_compare_and_others_may_vary(path: Path) -> None:
    compared = tagged(read(path), "nbval-check-output")
    assert compared
    for cell in compared:
        assert [output.output_type for output in cell.outputs] == ["stream"], cell.source


@each_notebook
def test_nothing_of_the_machine_and_no_noise_is_in_a_notebook(path: Path) -> None:
    for cell in read(path).cells:
        for text in texts(cell):
            assert not NOISE.search(text), NOISE.search(text)


@each_notebook
def test_a_notebook_is_small_has_pictures_and_short_cells(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    kinds = [kind for cell in code_cells(path) for output in cell.outputs for kind in output.get("data", {})]
    assert any(kind in IMAGE_TYPES for kind in kinds)
    longest = max(code_cells(path), key=lambda cell: len(cell.source.splitlines()))
    assert len(longest.source.splitlines()) <= 30, longest.source


@each_notebook
def test_links_between_chapters_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", json.dumps(read(path).cells)):
        assert (path.parent / target).exists(), target


@each_notebook
def test_the_starter_of_an_exercise_fails_and_its_solution_passes(path: Path, broker: Broker) -> None:
    # Given a notebook's setup, the solution that it folds away, and its checker
    notebook = read(path)
    told = [output.text for cell in tagged(notebook, "check") for output in cell.outputs]
    assert all(text.startswith("Not yet") for text in told), "a starter must fail"
    assert told
    solutions = re.findall(
        r"A solution</b></summary>\n\n```python\n(.*?)```", "\n".join(map(str, sources(notebook))), re.S
    )
    for cell, solution in zip(tagged(notebook, "exercise"), solutions, strict=True):
        cell.source = solution
    wanted = ("setup", "exercise", "check")
    notebook.cells = [cell for cell in notebook.cells if set(wanted) & set(cell.metadata.get("tags", ()))]
    # When they run
    run(notebook)
    # Then the checker is content.
    told = [output.text for cell in tagged(notebook, "check") for output in cell.outputs]
    assert all(text.startswith("Solved") for text in told), told


def sources(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells]


@pytest.mark.parametrize(("name", "source", "begins", "kind"), PICTURES, ids=[name for name, *_ in PICTURES])
def test_the_pictures_of_the_readme_are_those_of_the_notebook(name: str, source: str, begins: str, kind: str) -> None:
    assert (IMAGES / name).read_bytes() == picture(read(FOLDER / source), begins=begins, kind=kind)


MINUTES = {"ten": 10, "fifteen": 15, "twenty": 20, "twenty-five": 25, "thirty": 30}


def test_the_first_chapter_leads_to_all_others_and_says_how_long_each_takes() -> None:
    path = "\n".join(sources(read(FOLDER / "00_start.ipynb")))
    for notebook in NOTEBOOKS[1:]:
        found = re.search(r"\*About ([\w-]+) minutes", read(notebook).cells[0].source)
        assert found, notebook.name
        assert re.search(rf"\({notebook.name}\) \| .+ \| {MINUTES[found[1]]} \|", path), notebook.name
