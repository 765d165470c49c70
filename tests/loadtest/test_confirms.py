"""Confirms are read exactly, whatever they are mixed with and wherever the stream is cut."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from loadtest.engine.confirms import ConfirmReader, Returned, Settled
from loadtest.engine.frames import HEARTBEAT_FRAME, marshalled
from loadtest.engine.inbox import Inbox
from tests.loadtest.amqp import ack, nack, returned, stamped_body

BLOCKED = marshalled(commands.Connection.Blocked(reason="low on memory"), channel=0)

tags = st.integers(1, 2**63 - 1)
answers = st.lists(
    st.one_of(
        st.tuples(st.just("ack"), tags, st.booleans()),
        st.tuples(st.just("nack"), tags, st.booleans()),
        st.tuples(st.just("return"), st.integers(0, 10**9), st.just(False)),
        st.tuples(st.just("heartbeat"), st.just(0), st.just(False)),
        st.tuples(st.just("blocked"), st.just(0), st.just(False)),
    ),
    max_size=40,
)


def written(kind: str, number: int, multiple: bool) -> bytes:
    return {
        "ack": lambda: ack(number, multiple=multiple),
        "nack": lambda: nack(number, multiple=multiple),
        "return": lambda: returned(stamped_body(number, size=5000), frame_max=4096),
        "heartbeat": lambda: HEARTBEAT_FRAME,
        "blocked": lambda: BLOCKED,
    }[kind]()


def flat(read: list[Any]) -> list[tuple[str, int, bool]]:
    """What was read, one by one."""
    told: list[tuple[str, int, bool]] = []
    for answer in read:
        if isinstance(answer, Settled):
            kind = "nack" if answer.nacked else "ack"
            told += [(kind, int(t), bool(m)) for t, m in zip(answer.tags, answer.multiple, strict=True)]
        elif isinstance(answer, Returned):
            assert answer.reason == "NO_ROUTE"
            told.append(("return", answer.sequence if answer.sequence is not None else -1, False))
        else:
            assert isinstance(answer, commands.Connection.Blocked)
            told.append(("blocked", 0, False))
    return told


@given(answers, st.lists(st.integers(1, 400), min_size=1, max_size=30))
@settings(max_examples=150, deadline=None)
def test_everything_is_read_once_and_in_order_wherever_it_is_cut(
    sent: list[tuple[str, int, bool]], cuts: list[int]
) -> None:
    data = b"".join(written(*answer) for answer in sent)
    inbox, reader, read = Inbox(256), ConfirmReader(), []
    at = 0
    while at < len(data):
        size = cuts[at % len(cuts)]
        inbox.feed(data[at : at + size])
        at += size
        read += reader.read(inbox)
    assert flat(read) == [answer for answer in sent if answer[0] != "heartbeat"]
    assert len(inbox) == 0


def test_a_return_of_a_strangers_message_has_no_sequence() -> None:
    inbox = Inbox()
    inbox.feed(returned(b"not ours"))
    assert ConfirmReader().read(inbox) == [Returned(None, "NO_ROUTE")]


def test_many_acks_are_read_as_one_batch() -> None:
    inbox = Inbox()
    inbox.feed(b"".join(ack(tag) for tag in range(1, 1001)))
    [settled] = ConfirmReader().read(inbox)
    assert settled.tags == list(range(1, 1001))
