"""The books of a run are exact: every message once, whatever the broker's answers look like."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.engine import stamps
from loadtest.engine.confirms import Settled
from loadtest.engine.ledger import Books, Outcome, Received, Sent


def settled(*pairs: tuple[int, bool], nacked: bool = False) -> Settled:
    tags, multiple = zip(*pairs, strict=True)
    return Settled(tags, multiple, nacked)


def sent(count: int) -> Sent:
    book = Sent(2)
    book.send(np.arange(count) * 10, at_ns=5)
    return book


def test_confirms_settle_one_or_all_before() -> None:
    book = sent(10)
    assert book.settle(settled((3, False))).tolist() == [2]
    assert book.settle(settled((5, True))).tolist() == [0, 1, 3, 4]
    assert book.settle(settled((5, True), (2, False))).tolist() == [], "twice is once"
    assert book.outstanding == 5
    assert book.settle(settled((7, False), (8, True), (10, False), nacked=True)).tolist() == [5, 6, 7, 9]
    assert book.outcome[:10].tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 0, 2]


def test_a_returned_message_is_settled_by_its_ack_but_not_confirmed() -> None:
    book = sent(2)
    book.returned(0)
    assert book.settle(settled((2, True))).tolist() == [1]
    assert book.outcome[:2].tolist() == [Outcome.RETURNED, Outcome.CONFIRMED]
    assert book.outstanding == 0


def test_a_new_connection_counts_anew_and_leaves_the_open_ones_unanswered() -> None:
    book = sent(3)
    book.settle(settled((1, False)))
    book.reconnected()
    book.send(np.array([100, 110]), at_ns=99)
    assert book.settle(settled((2, True))).tolist() == [3, 4]
    assert book.outcome[:5].tolist() == [1, 0, 0, 1, 1]
    assert book.outstanding == 0


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=40), st.lists(st.integers(1, 7), max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_answers_in_any_batches_give_what_one_by_one_gives(
    answers: list[tuple[int, bool]], cuts: list[int]
) -> None:
    batched, open_ones = sent(60), set(range(60))
    at = 0
    for cut in [*cuts, len(answers) or 1]:
        batch = answers[at : at + cut]
        at += cut
        if not batch:
            continue
        closed = {n for tag, multiple in batch for n in (range(tag) if multiple else [tag - 1])} & open_ones
        assert set(batched.settle(settled(*batch)).tolist()) == closed
        open_ones -= closed
    assert batched.outstanding == len(open_ones)


def test_duplicates_and_late_messages_are_counted() -> None:
    book = Received.empty()
    book.take(np.array([0, 1, 2]))
    book.take(np.array([4, 3, 3]))
    book.take(np.array([5]))
    assert book.times[:6].tolist() == [1, 1, 1, 2, 1, 1]
    assert book.out_of_order == 2


@given(st.lists(st.lists(st.integers(0, 200), min_size=1, max_size=20), max_size=10))
@settings(max_examples=200, deadline=None)
def test_every_message_is_counted_as_often_as_it_came(batches: list[list[int]]) -> None:
    book = Received.empty()
    for batch in batches:
        book.take(np.array(batch))
    flat = [number for batch in batches for number in batch]
    assert book.times[:201].tolist() == [flat.count(number) for number in range(201)]


def test_messages_of_another_run_are_kept_apart() -> None:
    numbers = np.arange(3)
    ours = stamps.stamp(run=1, producer=0, sequences=numbers, intended_ns=numbers, sent_ns=1)
    theirs = stamps.stamp(run=2, producer=0, sequences=numbers, intended_ns=numbers, sent_ns=1)
    books = Books(run=1)
    assert books.take(np.concatenate([ours, theirs])).tolist() == [True] * 3 + [False] * 3
    assert (books.strange, books.received[0].times[:3].tolist()) == (3, [1, 1, 1])
