"""Deliveries read in one go are those that pika reads frame by frame, however the bytes arrive."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame
from pika.channel import Channel as PikaChannel
from pika.spec import Basic, BasicProperties

from labs.messaging.reading import Incomplete, read_delivery
from tests.waiting import eventually
from tests.workbench import Workbench, ping

MOST = 1000

names = st.text(max_size=40)
scalars = st.one_of(
    st.text(max_size=60), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.none()
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
properties = st.builds(
    BasicProperties,
    content_type=st.none() | names,
    content_encoding=st.none() | names,
    headers=st.none() | st.dictionaries(names, values, max_size=5),
    delivery_mode=st.none() | st.sampled_from([1, 2]),
    priority=st.none() | st.integers(0, 255),
    correlation_id=st.none() | names,
    reply_to=st.none() | names,
    message_id=st.none() | names,
    timestamp=st.none() | st.integers(0, 2**32),
    type=st.none() | names,
    app_id=st.none() | names,
)
delivers = st.builds(
    Basic.Deliver,
    consumer_tag=names,
    delivery_tag=st.integers(1, 2**63),
    redelivered=st.booleans(),
    exchange=names,
    routing_key=names,
)
bodies = st.binary(max_size=50)

#: As our own envelopes are: these must be read here, or nothing is gained.
OURS = ping(1, "hello").properties()


def written(method: Basic.Deliver, header: BasicProperties, *bodies: bytes, channel: int = 1) -> bytes:
    """A delivery as pika writes it, its body in so many frames."""
    frames = [frame.Method(channel, method), frame.Header(channel, sum(map(len, bodies)), header)]
    frames += [frame.Body(channel, body) for body in bodies if body]
    return b"".join(each.marshal() for each in frames)


def by_pika(received: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    size, method = frame.decode_frame(received)
    _, header = frame.decode_frame(received[size:])
    return vars(method.method), vars(header.properties)  # type: ignore[union-attr]


@given(delivers, properties, bodies, bodies)
def test_a_delivery_is_read_as_pika_reads_it_or_left_to_it(
    method: Basic.Deliver, header: BasicProperties, body: bytes, more: bytes
) -> None:
    before, delivery = more, written(method, header, body, channel=7)
    read = read_delivery(before + delivery + more, len(before), most=MOST)
    if read is not None:
        assert (read.end, read.channel, read.body) == (len(before) + len(delivery), 7, body)
        assert (vars(read.method), vars(read.properties)) == by_pika(delivery)
        assert read.frames == (3 if body else 2)


@given(delivers, bodies)
def test_our_own_envelopes_are_read(method: Basic.Deliver, body: bytes) -> None:
    read = read_delivery(written(method, OURS, body), 0, most=MOST)
    assert read is not None
    assert vars(read.properties) == vars(OURS)


@given(delivers, bodies, st.data())
def test_a_part_of_a_delivery_is_waited_for(method: Basic.Deliver, body: bytes, data: st.DataObject) -> None:
    delivery = written(method, OURS, body)
    part = delivery[: data.draw(st.integers(0, len(delivery) - 1))]
    try:
        assert read_delivery(part, 0, most=MOST) is None
        # pika has no use for it either: it waits.
        assert frame.decode_frame(part) == (0, None)
    except Incomplete:
        pass


@pytest.mark.parametrize(
    "received",
    [
        frame.Heartbeat().marshal(),
        frame.Method(1, Basic.Ack(1)).marshal() * 4,
        written(Basic.Deliver("c", 1, False, "", "q"), OURS, b"in two", b"frames"),
        written(Basic.Deliver("c", 1, False, "", "q"), OURS, b"x" * (MOST + 1)),
        written(Basic.Deliver("c", 1, False, "", "q"), BasicProperties(priority=5), b"x"),
        written(Basic.Deliver("c", 1, False, "", "q"), BasicProperties(headers={"x-death": [{"count": 1}]}), b"x"),
        written(Basic.Deliver("c", 1, False, "", "q"), OURS, b"x")[:-1] + b"\x00",
    ],
    ids=["heartbeat", "another method", "several frames", "too large", "rare property", "rare header", "no end"],
)
def test_what_is_not_the_plain_case_is_left_to_pika(received: bytes) -> None:
    assert read_delivery(received, 0, most=MOST) is None


async def test_messages_of_all_sizes_arrive_whole_and_in_order(bench: Workbench) -> None:
    # Given bodies of none to several frames (131,072 bytes each), with plain and rare properties in turn,
    sizes = [0, 1, 4096, 131_063, 131_064, 131_065, 65_536, 300_000, 5, 0, 131_064] * 3
    sent = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    got: list[tuple[int, BasicProperties, bytes]] = []

    def take(_: PikaChannel, method: Basic.Deliver, header: BasicProperties, body: bytes) -> None:
        got.append((method.delivery_tag, header, body))

    async with bench.publisher() as publisher, bench.channel() as channel:
        for n, body in enumerate(sent):
            await bench.send_raw(publisher, body, BasicProperties(message_id=str(n), app_id="app" if n % 2 else None))
        await channel.consume(bench.queue, take, auto_ack=True)
        # and methods that are answered between deliveries,
        assert await channel.queue_length(bench.queue) >= 0
        await eventually(lambda: len(got) == len(sent))
    # then each arrives as it was sent.
    assert [body for _, _, body in got] == sent
    assert [tag for tag, _, _ in got] == list(range(1, len(sent) + 1))
    assert [header.message_id for _, header, _ in got] == [str(n) for n in range(len(sent))]
