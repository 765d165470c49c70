"""The tap passes everything on, and sees what both sides say; programs notice nothing of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.exceptions import AMQPError, UnroutableError
from pika.spec import Basic, BasicProperties

from labs.broker import VirtualHost
from labs.processes import free_ports, wait_until
from labs.trial import operations as op
from labs.trial.history import Event, History
from labs.trial.tap import Tap
from labs.trial.tap.channel import Channel
from labs.trial.tap.frames import Frames


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "history.jsonl") as history:
        yield history


@pytest.fixture
def connection(vhost: VirtualHost, history: History) -> Iterator[pika.BlockingConnection]:
    """Through a tap to a broker."""
    address = urlsplit(vhost.amqp_url)
    with Tap(history, broker_port=address.port or 5672) as tap:
        credentials = address.netloc.rpartition("@")[0]
        parameters = pika.URLParameters(f"amqp://{credentials}@127.0.0.1:{tap.port}{address.path}")
        parameters.client_properties = {"connection_name": "the program"}
        connection = pika.BlockingConnection(parameters)
        yield connection
        if connection.is_open:
            connection.close()


def message(name: str, *, attempt: int = 1) -> BasicProperties:
    return BasicProperties(message_id=name, delivery_mode=2, headers={"attempt": attempt})


def told(history: History, operation: str) -> list[tuple[str, str, str, str]]:
    return [(e.kind, e.message, e.value, e.error) for e in history.events if e.operation == operation]


def test_publishes_and_how_they_end(connection: pika.BlockingConnection, history: History) -> None:
    channel = connection.channel()
    channel.queue_declare("work", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "work", b"x" * 200_000, message("one", attempt=2), mandatory=True)
    with pytest.raises(UnroutableError):
        channel.basic_publish("", "nowhere", b"", message("two"), mandatory=True)
    channel.basic_publish("", "nowhere", b"", message("three"))
    channel.basic_publish("", "work", b"", BasicProperties(message_id="not persistent"))
    assert told(history, op.PUBLISH) == [
        ("invoke", "one", "work", ""),
        ("ok", "one", "work", ""),
        ("invoke", "two", "nowhere", ""),
        ("fail", "two", "nowhere", "returned"),
        ("invoke", "three", "nowhere", ""),
        ("ok", "three", "nowhere", ""),
    ]
    first: Event = next(event for event in history.events if event.operation == op.PUBLISH)
    assert (first.process, first.attempt) == ("the program", 2)


def test_a_publish_whose_confirm_never_came_is_neither_done_nor_failed(
    connection: pika.BlockingConnection, history: History
) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    # An exchange that doesn't exist costs the channel, and with it the confirm
    with pytest.raises(AMQPError):
        channel.basic_publish("missing", "work", b"", message("one"))
    assert wait_until(lambda: len(told(history, op.PUBLISH)) == 2, timeout_s=10)
    assert told(history, op.PUBLISH)[1] == ("info", "one", "work", "channel closed")


@pytest.mark.parametrize(("how", "multiple"), [("ack", False), ("ack", True), ("nack", False), ("reject", False)])
def test_deliveries_and_how_they_are_settled(
    connection: pika.BlockingConnection, history: History, how: str, multiple: bool
) -> None:
    channel = connection.channel()
    channel.queue_declare("work", durable=True)
    for name in ("one", "two"):
        channel.basic_publish("", "work", b"body", message(name))
    tags = []
    channel.basic_consume("work", lambda _, method, *__: tags.append(method.delivery_tag))
    while len(tags) < 2:
        connection.process_data_events(time_limit=1)
    if multiple:
        channel.basic_ack(0, multiple=True)
    else:
        for tag in tags:
            getattr(channel, f"basic_{how}")(tag, **({} if how == "ack" else {"requeue": False}))
    channel.close()
    assert told(history, op.DELIVER) == [("ok", "one", "", ""), ("ok", "two", "", "")]
    assert told(history, op.SETTLE) == [("ok", "one", how, ""), ("ok", "two", how, "")]
    assert {event.queue for event in history.events if event.operation == op.SETTLE} == {"work"}
    assert [event.count for event in history.events if event.operation == op.UNACKNOWLEDGED] == [2]


def test_a_message_that_is_fetched_is_a_delivery_too(connection: pika.BlockingConnection, history: History) -> None:
    channel = connection.channel()
    for queue in ("work", "other"):
        channel.queue_declare(queue, durable=True)
        channel.basic_publish("", queue, b"body", message(f"for {queue}"))
    # Given somebody who looks into an empty queue, too
    channel.queue_declare("empty", durable=True)
    assert channel.basic_get("empty")[0] is None
    # When one message is fetched and acked, and another one fetched without acks
    method, _, _ = channel.basic_get("work")
    assert method is not None
    channel.basic_ack(method.delivery_tag)
    channel.basic_get("other", auto_ack=True)
    channel.close()
    # Then both were delivered and settled, each at its queue
    seen = [(e.message, e.queue) for e in history.events if e.operation == op.DELIVER]
    assert seen == [("for work", "work"), ("for other", "other")]
    assert seen == [(e.message, e.queue) for e in history.events if e.operation == op.SETTLE]


def test_what_one_side_says_in_the_middle_of_the_others_message_confuses_nobody(history: History) -> None:
    channel = Channel(history, "the program")
    channel.client_says(Basic.Consume(queue="work"))
    channel.broker_says(Basic.ConsumeOk(consumer_tag="tag"))
    # When a delivery comes between a publish and its header, and the other way round
    channel.client_says(Basic.Publish(routing_key="key"))
    channel.broker_says(Basic.Deliver(consumer_tag="tag", delivery_tag=1, redelivered=True))
    channel.client_header(message("published"))
    channel.broker_header(message("delivered"))
    assert told(history, op.PUBLISH) == [("invoke", "published", "key", "")]
    assert told(history, op.DELIVER) == [("ok", "delivered", "redelivered", "")]


def test_without_acks_a_delivery_is_settled_when_it_is_sent(
    connection: pika.BlockingConnection, history: History
) -> None:
    channel = connection.channel()
    channel.queue_declare("work", durable=True)
    channel.basic_publish("", "work", b"body", message("one"))
    seen = []
    channel.basic_consume("work", lambda *_: seen.append(1), auto_ack=True)
    while not seen:
        connection.process_data_events(time_limit=1)
    assert told(history, op.SETTLE) == [("ok", "one", "ack", "")]


def test_a_program_is_told_at_once_that_there_is_no_broker(history: History) -> None:
    [nobody] = free_ports(1, seed="no broker")
    with Tap(history, broker_port=nobody) as tap, pytest.raises(AMQPError):
        pika.BlockingConnection(pika.URLParameters(f"amqp://127.0.0.1:{tap.port}/"))


STREAM = b"AMQP\x00\x00\x09\x01" + b"".join(
    [
        pika.frame.Method(1, Basic.Publish(exchange="x", routing_key="key")).marshal(),
        pika.frame.Header(1, 4, message("one")).marshal(),
        pika.frame.Body(1, b"\xceAMQ").marshal(),
        pika.frame.Heartbeat().marshal(),
        pika.frame.Method(1, Basic.Ack(delivery_tag=7)).marshal(),
    ]
)


@given(cuts=st.lists(st.integers(0, len(STREAM))))
def test_frames_are_read_however_the_bytes_come(cuts: list[int]) -> None:
    frames = Frames()
    edges = [0, *sorted(cuts), len(STREAM)]
    seen = [each for start, end in itertools.pairwise(edges) for each in frames.feed(STREAM[start:end])]
    assert b"".join(each.raw for each in seen) + frames.rest == STREAM
    publish, header, ack = [each for each in seen if each.says is not None]
    assert [each.body for each in seen if each.body is not None] == [b"\xceAMQ"]
    assert publish.method.routing_key == "key"
    assert header.properties.message_id == "one"
    assert ack.method.delivery_tag == 7


def test_a_header_that_nobody_can_read_is_passed_over() -> None:
    header = bytearray(pika.frame.Header(1, 0, message("one")).marshal())
    header[header.index(b"attempt") + 7] = ord("?")  # no type of AMQP's
    after = pika.frame.Method(1, Basic.Ack(delivery_tag=7)).marshal()
    unread, ack = Frames().feed(bytes(header) + after)
    assert unread.raw == bytes(header)
    assert ack.method.delivery_tag == 7


def test_what_is_no_amqp_is_passed_on_as_it_is() -> None:
    [strange] = Frames().feed(b"GET / HTTP/1.1\r\n")
    assert (strange.raw, strange.says) == (b"GET / HTTP/1.1\r\n", None)
