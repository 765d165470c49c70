"""Every interview card of every chapter: short, on a known topic, with a cell that proves it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from labs.errors import LabError
from labs.notebook.cards import Card, CardBroken, cards, cards_of
from labs.notebook.refresh import FOLDER

CARDS = cards()
#: Chapter 13 draws the cards of the others.
CHAPTERS = sorted(path for path in FOLDER.glob("*.ipynb") if not path.name.startswith("13"))
TOPICS = {
    "first steps",
    "work queues",
    "publish and subscribe",
    "routing",
    "confirms and returns",
    "RPC",
    "retries and dead letters",
    "delivery guarantees",
    "outbox",
    "services on queues",
    "load testing",
    "capacity",
    "failures",
    "events and versions",
}

each_card = pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.chapter}-{card.proof}")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_has_three_to_six_cards_and_none_is_malformed(path: Path) -> None:
    found = cards_of(path)
    assert 3 <= len(found) <= 6
    # Folded texts that are neither hint nor solution nor a card would never be drawn.
    written = path.read_text(encoding="utf-8").count("<!-- proof")
    assert len(found) == written


@each_card
def test_a_card_is_short_and_names_its_proof(card: Card) -> None:
    assert card.topic in TOPICS
    assert card.question.endswith(("?", "."))
    assert "*Proof:" in card.answer
    assert len(re.findall(r"[.!?](?:\s|$)", card.answer.split("*Proof:")[0])) <= 5
    assert card.notebook.cells[-1].outputs, "the proof shows something"


def test_no_question_is_asked_twice() -> None:
    questions = [card.question for card in CARDS]
    assert len(set(questions)) == len(questions)


def test_a_card_without_its_proof_is_an_error(tmp_path: Path) -> None:
    chapter = nbformat.v4.new_notebook()
    text = "<details>\n<summary><b>Why?</b></summary>\n\nSo.\n<!-- proof: nowhere; topic: routing -->\n</details>"
    chapter.cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("1")]
    nbformat.write(chapter, tmp_path / "77_odd.ipynb")
    [card] = cards(tmp_path)
    assert (card.question, card.answer, card.topic) == ("Why?", "So.", "routing")
    with pytest.raises(CardBroken, match="proof-nowhere"):
        _ = card.notebook
    assert issubclass(CardBroken, LabError)
