"""A mock interview: cards at random, by topic, each proved on the live broker by the chapter it comes from."""

from __future__ import annotations

import difflib
import random
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from IPython.display import display

from labs.display import Source, Table
from labs.errors import LabError
from labs.notebook.cards import Card, cards, tags
from labs.notebook.refresh import joined, kernel_for
from labs.notebook.remains import sweep


class NoMoreCards(LabError):
    """All cards have been drawn, or none is of the wanted topic."""


@dataclass(frozen=True)
class Proof:
    """What the proving cell gave when it ran just now, and what is committed."""

    card: Card
    cell: Any
    committed: Any

    @property
    def holds(self) -> bool:
        """Whether it says again what the chapter says; a cell whose output varies need only have run."""
        if "nbval-check-output" not in tags(self.cell):
            return True
        return _printed(self.cell.outputs) == _printed(self.committed)

    @property
    def verdict(self) -> str:
        """Whether it holds, in words; if it doesn't, with what differs."""
        if self.holds:
            return "the proof says what the chapter says"
        lines = difflib.unified_diff(
            _printed(self.committed).splitlines(),
            _printed(self.cell.outputs).splitlines(),
            "the chapter",
            "just now",
            lineterm="",
        )
        return "\n".join(["the proof says something else than the chapter:", *lines])

    def show(self) -> None:
        """The code of the cell, and what it gave."""
        display(Source(self.cell.source))  # type: ignore[no-untyped-call]
        for output in joined(self.cell.outputs):
            if output.output_type == "stream":
                print(output.text, end="")
            else:
                display(dict(output.data), raw=True)  # type: ignore[no-untyped-call]


def _printed(outputs: Sequence[Any]) -> str:
    return "".join(output.text for output in outputs)


class Interview:
    """Draws each card once, in an order that the seed decides.

    Args:
        topic: only cards of this topic; default: all.
        seed: the same one gives the same order; default: another order each time.
        deck: the cards; default: those of all chapters.
    """

    def __init__(
        self, *, topic: str | None = None, seed: int | None = None, deck: Sequence[Card] | None = None
    ) -> None:
        self.deck = list(cards() if deck is None else deck)
        self._undrawn = [card for card in self.deck if topic in (None, card.topic)]
        random.Random(seed).shuffle(self._undrawn)  # noqa: S311 (an interview, not a secret)
        self._drawn: list[Card] = []
        self._marks: dict[Card, int] = {}

    def topics(self) -> Table:
        """What can be asked about."""
        counts = Counter(card.topic for card in self.deck)
        chapters = {topic: sorted({card.chapter[:2] for card in self.deck if card.topic == topic}) for topic in counts}
        rows = [(topic, count, ", ".join(chapters[topic])) for topic, count in sorted(counts.items())]
        return Table("topic", "cards", "from chapters", rows=rows, right=("cards",))

    @property
    def card(self) -> Card:
        """The card on the table.

        Raises:
            NoMoreCards: none was drawn yet.
        """
        if not self._drawn:
            raise NoMoreCards("no card was drawn yet: call ask()")
        return self._drawn[-1]

    def ask(self) -> None:
        """Draw the next card and print its question.

        Raises:
            NoMoreCards: there is none left.
        """
        if not self._undrawn:
            raise NoMoreCards("no card is left: begin a new interview, perhaps with another topic")
        self._drawn.append(self._undrawn.pop())
        print(f"[{self.card.topic}] {self.card.question}")

    def answer(self) -> None:
        """Print the answer of the card on the table."""
        print(self.card.answer)

    async def prove(self) -> Proof:
        """Run the card's chapter, in a kernel of its own, up to the cell that proves the answer.

        Takes as long as the chapter takes to that cell: a few seconds, for the failure drills up to a minute.
        """
        notebook = self.card.notebook
        committed = joined(notebook.cells[-1].outputs)
        try:
            # What that kernel itself says belongs into no notebook.
            await kernel_for(notebook).async_execute(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        finally:
            sweep()
        return Proof(self.card, notebook.cells[-1], committed)

    def mark(self, points: int) -> None:
        """Note how well you answered the card on the table: 0 not, 1 in part, 2 well."""
        self._marks[self.card] = points

    def summary(self) -> Table:
        """How it went, and which chapters to read again."""
        words = {0: "read it again", 1: "once more", 2: "well"}
        rows = [
            (card.question, words.get(self._marks.get(card, -1), "not marked"), card.chapter) for card in self._drawn
        ]
        return Table("question", "your answer", "chapter", rows=rows)
