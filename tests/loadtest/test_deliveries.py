"""Deliveries are read exactly: whatever frame size, wherever cut, whatever comes between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from loadtest.engine import stamps
from loadtest.engine.deliveries import Deliveries, DeliveryReader
from loadtest.engine.frames import HEARTBEAT_FRAME, marshalled
from loadtest.engine.inbox import Inbox
from tests.loadtest.amqp import delivery, stamped_body

CANCEL = marshalled(commands.Basic.Cancel(consumer_tag="ctag1", nowait=True))


@dataclass
class Read:
    sequences: list[int]
    count: int = 0
    redelivered: int = 0
    corrupt: int = 0
    foreign: int = 0
    last_tag: int = 0
    methods: int = 0


def read_in_pieces(data: bytes, cuts: list[int], *, size: int) -> Read:
    inbox, reader, told = Inbox(256), DeliveryReader(size), Read([])
    at = 0
    while at < len(data):
        step = cuts[at % len(cuts)]
        inbox.feed(data[at : at + step])
        at += step
        for answer in reader.read(inbox):
            add(told, answer)
    assert len(inbox) == 0
    return told


def add(told: Read, answer: Any) -> None:
    if not isinstance(answer, Deliveries):
        told.methods += 1
        return
    told.sequences += answer.stamps["sequence"].tolist()
    told.count += answer.count
    told.redelivered += answer.redelivered
    told.corrupt += answer.corrupt
    told.foreign += answer.foreign
    told.last_tag = answer.last_tag


kinds = st.sampled_from(["plain"] * 12 + ["redelivered", "counted", "corrupt", "foreign", "heartbeat", "cancel"])


@given(
    st.lists(kinds, max_size=60),
    st.lists(st.integers(1, 3000), min_size=1, max_size=20),
    st.sampled_from([stamps.SIZE, 100, 1000, 9000]),
    st.sampled_from([4096, 8192, 131_072]),
)
@settings(max_examples=120, deadline=None)
def test_every_message_is_read_once_and_in_order(kinds: list[str], cuts: list[int], size: int, frame_max: int) -> None:
    data, wanted = b"", Read([])
    for tag, kind in enumerate(kinds, start=1):
        body = stamped_body(tag, size=size)
        if kind in ("heartbeat", "cancel"):
            data += HEARTBEAT_FRAME if kind == "heartbeat" else CANCEL
            wanted.methods += kind == "cancel"
            continue
        if kind == "corrupt":
            body = body[:20] + bytes([body[20] ^ 1]) + body[21:]
            wanted.corrupt += 1
        elif kind == "foreign":
            body = b"f" * size
            wanted.foreign += 1
        else:
            wanted.sequences.append(tag)
        wanted.redelivered += kind in ("redelivered", "counted")
        headers = {"x-delivery-count": 1} if kind == "counted" else None
        data += delivery(
            tag, body, redelivered=kind in ("redelivered", "counted"), headers=headers, frame_max=frame_max
        )
        wanted.count += 1
        wanted.last_tag = tag
    assert read_in_pieces(data, cuts, size=size) == wanted


@pytest.mark.parametrize("at", [50, 500, 999])
def test_one_changed_byte_of_the_filler_is_seen_among_many(at: int) -> None:
    bodies = [stamped_body(tag, size=1000) for tag in range(1, 101)]
    changed = bytearray(bodies[60])
    changed[at] ^= 1
    bodies[60] = bytes(changed)
    data = b"".join(delivery(tag, body) for tag, body in enumerate(bodies, start=1))
    told = read_in_pieces(data, [10**6], size=1000)
    assert (told.corrupt, told.count, len(told.sequences)) == (1, 100, 99)
    assert 61 not in told.sequences


def test_offsets_of_a_stream_do_not_slow_it_down() -> None:
    # Given deliveries whose headers differ in a number of fixed width
    data = b"".join(
        delivery(tag, stamped_body(tag, size=200), headers={"x-stream-offset": 2**40 + tag}) for tag in range(1, 501)
    )
    inbox, reader = Inbox(), DeliveryReader(200)
    inbox.feed(data)
    # When they are read
    answers = reader.read(inbox)
    # Then all are there, most of them in batches.
    assert sum(answer.count for answer in answers) == 500
    assert len(answers) < 30


def test_what_was_read_stays_when_the_buffer_is_used_again() -> None:
    reader, inbox = DeliveryReader(100), Inbox()
    kept = []
    # Deliveries that come one by one, each into the place of the one before
    for sequence in range(1, 6):
        inbox.feed(delivery(sequence, stamped_body(sequence, size=100)))
        kept += reader.read(inbox)
    assert [each.stamps["sequence"].tolist() for each in kept] == [[1], [2], [3], [4], [5]]
