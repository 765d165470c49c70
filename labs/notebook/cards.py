"""The interview cards, read from the chapters that hold them: a question, an answer, and the cell that proves it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from labs.errors import LabError
from labs.notebook.refresh import FOLDER, read

#: How a card is written in a chapter: see any of them.
_CARD = re.compile(
    r"<details>\s*<summary><b>(?P<question>.+?)</b></summary>\s*(?P<answer>.+?)\s*"
    r"<!-- proof: (?P<proof>[\w-]+); topic: (?P<topic>[\w ,-]+?) -->\s*</details>",
    re.DOTALL,
)
_PROOF_TAG = "proof-"
#: They wait for the reader, and prove nothing.
_READERS_OWN = {"exercise", "check"}


class CardBroken(LabError):
    """A card names a proof that its chapter doesn't have."""


@dataclass(frozen=True)
class Card:
    """A question as an interviewer asks it.

    Args:
        chapter: the notebook's name without its ending.
        proof: the tag, without `proof-`, of the cell that proves the answer.
    """

    question: str
    answer: str
    topic: str
    chapter: str
    proof: str
    folder: Path = FOLDER

    @cached_property
    def notebook(self) -> Any:
        """The chapter as committed, up to the proof: what must run before the proof can."""
        notebook = read(self.folder / f"{self.chapter}.ipynb")
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for number, cell in enumerate(cells):
            if _PROOF_TAG + self.proof in tags(cell):
                before = [earlier for earlier in cells[:number] if not _READERS_OWN & tags(earlier)]
                notebook.cells = [*before, cell]
                return notebook
        raise CardBroken(f"{self.chapter} has no cell with the tag {_PROOF_TAG}{self.proof}")


def tags(cell: Any) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", ()))


def cards(folder: Path = FOLDER) -> list[Card]:
    """All cards of all chapters, in the order of the chapters."""
    return [card for path in sorted(folder.glob("*.ipynb")) for card in cards_of(path)]


def cards_of(path: Path) -> list[Card]:
    """The cards of one chapter."""
    texts = (cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    return [
        Card(
            question=" ".join(found["question"].split()),
            answer=found["answer"],
            topic=found["topic"],
            chapter=path.stem,
            proof=found["proof"],
            folder=path.parent,
        )
        for text in texts
        for found in _CARD.finditer(text)
    ]
