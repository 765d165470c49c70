"""Chapter 15 answers every interview topic of its system's design, each with a cell that proves it."""

from __future__ import annotations

import re

import pytest

from labs.notebook.cards import tags
from labs.notebook.exercises.documents import Change, Index, check_apply
from labs.notebook.refresh import FOLDER, read

CHAPTER = read(FOLDER / "15_documents.ipynb")
#: As the design document has them.
TOPICS = [
    "Event-driven architecture",
    "Message queue vs pub/sub",
    "RabbitMQ exchanges",
    "Dead letter queue",
    "Retry strategies",
    "At-least-once delivery",
    "Idempotent consumers",
    "Worker pattern",
    "Graceful shutdown",
]
ROWS = re.findall(
    r"^\| ([\w/ -]+?) \| .+ <!-- cell: ([\w-]+) --> \|$", "\n".join(cell.source for cell in CHAPTER.cells), re.M
)


def test_every_topic_is_there() -> None:
    assert [topic for topic, _ in ROWS] == TOPICS


@pytest.mark.parametrize(("topic", "cell"), ROWS)
def test_a_topic_has_one_cell_that_shows_something_that_is_compared(topic: str, cell: str) -> None:
    [found] = [each for each in CHAPTER.cells if f"proof-{cell}" in tags(each)]
    assert "nbval-check-output" in tags(found)
    assert found.outputs


def keeps_the_newest(index: Index, change: Change) -> None:
    known = index.get(change.document)
    if known is None or known.version < change.version:
        index[change.document] = change


def keeps_the_first(index: Index, change: Change) -> None:
    index.setdefault(change.document, change)


def keeps_the_last(index: Index, change: Change) -> None:
    index[change.document] = change


def forgets_what_is_new(index: Index, change: Change) -> None:
    if change.document in index and index[change.document].version < change.version:
        index[change.document] = change


def test_the_exercise_is_content_with_what_is_right_alone() -> None:
    assert check_apply(keeps_the_newest).startswith("Solved")
    for wrong, said in (
        (keeps_the_first, "holds version 1"),
        (keeps_the_last, "arrived in this order"),
        (forgets_what_is_new, "missing from it"),
    ):
        assert check_apply(wrong).startswith("Not yet")
        assert said in check_apply(wrong)
