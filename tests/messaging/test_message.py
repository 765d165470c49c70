"""The envelope: what goes in comes out, and what is not one is refused with a reason that quotes nothing."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pika.spec import BasicProperties

from labs.errors import MessageError
from labs.messaging.message import TRAIL_LENGTH, Message, Schemas, decode
from tests.workbench import PING, SCHEMAS, Ping, ping

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))
MESSAGES = st.builds(
    Message,
    type=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    version=st.integers(0, 2**31 - 1),
    body=st.binary(max_size=200),
    message_id=st.uuids().map(str),
    occurred_at=MOMENTS,
    correlation_id=st.none() | TEXT,
    attempt=st.integers(1, 100),
    redrives=st.integers(0, 100),
    traceparent=st.none() | TEXT.filter(bool),
    trail=st.lists(TEXT, max_size=TRAIL_LENGTH).map(tuple),
)
#: Whatever AMQP allows in a header.
HEADER_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | TEXT
    | st.binary(max_size=20)
    | MOMENTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
NAMES = ("version", "occurred-at", "attempt", "redrives", "traceparent", "trail")


def on_the_wire(properties: BasicProperties) -> BasicProperties:
    """Properties as they arrive: encoded to bytes and decoded again."""
    received = BasicProperties()
    received.decode(b"".join(properties.encode()))
    return received


@settings(max_examples=40, deadline=None)
@given(MESSAGES)
def test_an_envelope_survives_the_wire(message: Message) -> None:
    assert decode(on_the_wire(message.properties()), message.body, max_bytes=1000) == message


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), HEADER_VALUES), st.binary(max_size=50))
def test_no_headers_make_decoding_fail_with_anything_but_a_reason(headers: dict[str, Any], body: bytes) -> None:
    properties = BasicProperties(
        message_id=str(uuid.uuid4()), type="ping", headers={"version": 1, "occurred-at": "2026-01-01"} | headers
    )
    with contextlib.suppress(MessageError):
        SCHEMAS.parse(decode(properties, body, max_bytes=1000))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=60))
def test_a_trail_keeps_the_newest_lines_and_stays_short(errors: list[str]) -> None:
    message = ping()
    for error in errors:
        message = message.next_attempt(error)
    assert message.attempt == len(errors) + 1
    assert len(message.trail) == min(len(errors), TRAIL_LENGTH)
    assert message.trail[-1].endswith(f"attempt {len(errors)}: {errors[-1]}")


def test_a_message_can_not_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ping().attempt = 2  # type: ignore[misc]


def test_retries_and_redrives_keep_the_identity() -> None:
    message = ping(3)
    retried = message.next_attempt("no").next_attempt("no")
    redriven = retried.redriven()
    assert {m.message_id for m in (message, retried, redriven)} == {message.message_id}
    assert {m.body for m in (message, retried, redriven)} == {message.body}
    assert (retried.attempt, redriven.attempt, redriven.redrives) == (3, 1, 1)
    assert len(redriven.trail) == 2


def test_two_messages_have_two_identities() -> None:
    assert ping().message_id != ping().message_id


def test_a_messages_text_does_not_show_its_body() -> None:
    assert "my secret" not in repr(ping(1, "my secret"))


def test_a_body_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(MessageError, match="1001 bytes, more than 1000"):
        decode(ping().properties(), b"x" * 1001, max_bytes=1000)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"message_id": None}, "no message_id"),
        ({"message_id": "7"}, "not a UUID"),
        ({"type": None}, "no type"),
        ({"headers": None}, "no header 'version'"),
        ({"headers": {"version": 1}}, "no header 'occurred-at'"),
        ({"headers": {"version": "one", "occurred-at": "2026-01-01"}}, "wrong form"),
        ({"headers": {"version": float("inf"), "occurred-at": "2026-01-01"}}, "wrong form"),
        ({"headers": {"version": 1, "occurred-at": "yesterday"}}, "wrong form"),
        ({"headers": {"version": 1, "occurred-at": 5}}, "wrong form"),
        ({"headers": {"version": 1, "occurred-at": "2026-01-01", "attempt": "many"}}, "wrong form"),
        ({"headers": {"version": 1, "occurred-at": "2026-01-01", "trail": 5}}, "wrong form"),
    ],
)
def test_an_envelope_with_a_part_missing_or_wrong_is_refused(change: dict[str, Any], reason: str) -> None:
    properties = ping().properties()
    for name, value in change.items():
        setattr(properties, name, value)
    with pytest.raises(MessageError, match=reason):
        decode(properties, b"{}", max_bytes=1000)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not json", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "body: .* object"),
        (b"null", "body: .* object"),
        (b"{}", "n: Field required"),
        (b'{"n": "my secret"}', "n: .* valid integer"),
    ],
)
def test_a_body_that_is_not_its_schemas_is_refused_without_quoting_it(body: bytes, reason: str) -> None:
    with pytest.raises(MessageError, match=reason) as caught:
        SCHEMAS.parse(replace(ping(), body=body))
    assert "my secret" not in str(caught.value)


def test_unknown_types_and_versions_are_told_apart() -> None:
    with pytest.raises(MessageError, match="unknown message type 'pong'"):
        SCHEMAS.parse(replace(ping(), type="pong"))
    with pytest.raises(MessageError, match=r"version 2; known: \[1\]"):
        SCHEMAS.parse(replace(ping(), version=2))
    with pytest.raises(MessageError, match="unknown"):
        Schemas().parse(ping())


def test_a_schema_makes_and_reads_its_messages() -> None:
    message = PING.message(Ping(n=4), correlation_id="c", traceparent="t")
    assert (message.type, message.version, message.correlation_id, message.traceparent) == ("ping", 1, "c", "t")
    assert PING.parse(message) == Ping(n=4)
