"""Published bytes are those that pika would write, to the last one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import frame as pika_frame
from pika import spec

from loadtest.engine import stamps
from loadtest.engine.frames import END, ProtocolError, PublishTemplate, frames
from tests.loadtest.amqp import RUN, delivery

names = st.text("abcXYZ019-_.:", max_size=20)


def by_pika(body: bytes, *, exchange: str, key: str, persistent: bool, frame_max: int) -> bytes:
    method = spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True)
    properties = spec.BasicProperties(delivery_mode=2 if persistent else 1)
    room = frame_max - 8
    parts = [pika_frame.Method(1, method).marshal(), pika_frame.Header(1, len(body), properties).marshal()]
    parts += [pika_frame.Body(1, body[at : at + room]).marshal() for at in range(0, len(body), room)]
    return b"".join(parts)


targets = st.fixed_dictionaries(
    {
        "exchange": names,
        "key": names,
        "persistent": st.booleans(),
        "frame_max": st.sampled_from([4096, 8192, 131_072]),
    }
)


@given(targets, st.integers(stamps.SIZE, 20_000), st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_a_template_writes_what_pika_would(target: dict[str, Any], size: int, count: int) -> None:
    options = {name: value for name, value in target.items() if name != "key"}
    template = PublishTemplate(routing_key=target["key"], size=size, most=8, **options)
    for first in (0, 100):  # a second use leaves nothing of the first
        numbers = np.arange(first, first + count)
        stamped = stamps.stamp(run=RUN, producer=2, sequences=numbers, intended_ns=numbers * 10, sent_ns=99)
        bodies = [one.tobytes() + stamps.filler(size) for one in stamped]
        assert bytes(template.stamped(stamped)) == b"".join(by_pika(body, **target) for body in bodies)


def test_frames_are_taken_apart_as_far_as_they_are_complete() -> None:
    data = delivery(1, b"x" * 5000, frame_max=4096)
    for cut in range(len(data)):
        found = list(frames(memoryview(data)[:cut]))
        assert all(data[part.end - 1] == END for part in found)
        assert len(found) == sum(end <= cut for end in (part.end for part in frames(memoryview(data))))


def test_a_frame_without_end_mark_is_an_error() -> None:
    data = bytearray(delivery(1, b"x" * 100))
    data[-1] = 0
    with pytest.raises(ProtocolError, match="no end mark"):
        list(frames(memoryview(data)))


@pytest.mark.parametrize("column", ["sequence", "intended_ns", "sent_ns", "run", "producer", "check", "magic"])
def test_any_change_of_a_stamp_is_seen(column: str) -> None:
    made = stamps.stamp(run=RUN, producer=1, sequences=np.arange(3), intended_ns=np.arange(3) * 7, sent_ns=1_000_000)
    assert stamps.is_whole(made).all()
    made[column][1] ^= 1
    assert stamps.is_whole(made).tolist() == [True, False, True]
