"""A mock interview draws cards at random, by topic, and runs their proofs on the real broker."""

from __future__ import annotations

import nbformat
import pytest

from labs.broker import Broker
from labs.notebook.cards import Card, cards
from labs.notebook.interview import Interview, NoMoreCards
from labs.notebook.refresh import joined


def card(number: int, topic: str = "odd") -> Card:
    return Card(f"Question {number}?", f"Answer {number}.", topic, "77_odd", "p")


DECK = [card(1), card(2), card(3, "even"), card(4)]


def questions(interview: Interview, capsys: pytest.CaptureFixture[str], *, count: int) -> list[str]:
    for _ in range(count):
        interview.ask()
    return capsys.readouterr().out.splitlines()


def test_every_card_is_drawn_once_and_the_seed_decides_the_order(capsys: pytest.CaptureFixture[str]) -> None:
    interview = Interview(seed=1, deck=DECK)
    drawn = questions(interview, capsys, count=4)
    assert sorted(drawn) == [
        "[even] Question 3?",
        "[odd] Question 1?",
        "[odd] Question 2?",
        "[odd] Question 4?",
    ]
    with pytest.raises(NoMoreCards):
        interview.ask()
    assert questions(Interview(seed=1, deck=DECK), capsys, count=4) == drawn
    orders = {tuple(questions(Interview(seed=seed, deck=DECK), capsys, count=4)) for seed in range(20)}
    assert len(orders) > 3


def test_a_topic_is_a_filter(capsys: pytest.CaptureFixture[str]) -> None:
    interview = Interview(topic="even", deck=DECK)
    assert questions(interview, capsys, count=1) == ["[even] Question 3?"]
    interview.answer()
    assert capsys.readouterr().out == "Answer 3.\n"
    with pytest.raises(NoMoreCards):
        interview.ask()


def test_there_is_no_answer_before_the_question() -> None:
    with pytest.raises(NoMoreCards, match=r"ask\(\)"):
        Interview(deck=DECK).answer()


def test_the_summary_says_what_to_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    interview = Interview(topic="even", deck=DECK)
    interview.ask()
    interview.mark(0)
    assert "read it again" in str(interview.summary())
    assert "odd" in str(interview.topics())


async def test_a_proof_runs_on_the_broker_and_is_compared_with_what_is_committed(
    broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a card whose proof prints what can't vary
    [lost] = [each for each in cards() if (each.chapter, each.proof) == ("00_start", "confirmed-and-lost")]
    interview = Interview(deck=[lost])
    interview.ask()
    # When it is proved
    proof = await interview.prove()
    # Then the cell ran and says what is committed,
    assert "messages in the inbox: 0" in proof.cell.outputs[0].text
    assert proof.holds
    # and it would be seen if it said something else.
    assert proof.verdict == "the proof says what the chapter says"
    proof.committed[0].text = "messages in the inbox: 1\n"
    assert not proof.holds
    assert {"-messages in the inbox: 1", "+messages in the inbox: 0"} <= set(proof.verdict.splitlines())


def test_what_a_cell_printed_in_pieces_is_joined_in_copies() -> None:
    # Given a kernel that was busy between two lines
    pieces = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("one\n", "two\n")]
    # When they are joined, also more than once
    for _ in range(2):
        [whole] = joined(pieces)
    # Then each line is there once, and the cell's own outputs are as they were
    assert whole.text == "one\ntwo\n"
    assert [piece.text for piece in pieces] == ["one\n", "two\n"]
