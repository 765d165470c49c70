"""A chapter whose pattern is broken must fail, in the cell whose lesson that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from labs.broker import Broker
from labs.notebook.refresh import FOLDER
from labs.settings import Settings
from tests.notebook.mutants import MUTANTS
from tests.notebook.mutation import Mutant, copy_with, noticed_in


def test_every_chapter_is_broken_once_at_least() -> None:
    assert {mutant.chapter for mutant in MUTANTS} == {path.stem for path in FOLDER.glob("*.ipynb")}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.chapter)
def test_a_chapter_notices_that_its_pattern_is_broken(
    mutant: Mutant, tmp_path: Path, broker: Broker, settings: Settings
) -> None:
    # A machine that is busy with everything else may make another cell fail first, or what was broken do no harm.
    for attempt in range(3):
        copy = copy_with(mutant, tmp_path / f"{attempt}")
        cell = noticed_in(copy, settings, told_by=mutant.told_by, without=mutant.without)
        if cell is not None and mutant.told_by in cell.source:
            break
    assert cell is not None, "nobody noticed"
    assert mutant.told_by in cell.source, f"noticed, but in another cell:\n{cell.source}\n{cell.outputs}"
