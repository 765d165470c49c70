"""Reads a whole delivery out of received bytes at once: what pika would make of its frames, for a part of the time.

pika decodes method, header and body one after the other, copies all that follows after each, and looks for each
whether somebody waits for it. What is not the plain case is left to it: a body in several frames, properties or
header fields of the rarer kinds, anything that doesn't decode.
"""

from __future__ import annotations

import functools
import struct
from typing import Any, NamedTuple

from pika.spec import FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_METHOD, Basic, BasicProperties

#: type (1 byte), channel (2), size (4).
_FRAME = struct.Struct(">BHI")
#: The same, and class and method, as one number.
_METHOD = struct.Struct(">BHII")
#: The same, and class (2), weight (2), body size (8), flags of the properties that are there (2).
_HEADER = struct.Struct(">BHIHHQH")
_TAG = struct.Struct(">Q?")
_LONG = struct.Struct(">I")
_INT = struct.Struct(">i")
_AROUND = _FRAME.size + 1

#: All others are left to pika.
_KNOWN = (
    BasicProperties.FLAG_CONTENT_TYPE
    | BasicProperties.FLAG_HEADERS
    | BasicProperties.FLAG_DELIVERY_MODE
    | BasicProperties.FLAG_CORRELATION_ID
    | BasicProperties.FLAG_REPLY_TO
    | BasicProperties.FLAG_MESSAGE_ID
    | BasicProperties.FLAG_TYPE
)


class Incomplete(Exception):
    """A plain delivery begins here, but its end has not been received yet."""


class _Rare(Exception):
    """Not the plain case."""


class Read(NamedTuple):
    """A delivery, and where it ends."""

    end: int
    channel: int
    frames: int
    method: Basic.Deliver
    properties: BasicProperties
    body: bytes


def read_delivery(received: bytes, at: int, *, most: int) -> Read | None:
    """The delivery that begins at a place of received bytes; None if what is there is left to pika.

    Args:
        most: bytes of body that a frame may have; longer bodies are left to pika.

    Raises:
        Incomplete: its end has not been received yet.
    """
    try:
        return _read(received, at, most)
    except (_Rare, IndexError, UnicodeDecodeError, struct.error):
        return None


def _read(received: bytes, at: int, most: int) -> Read:
    kind, channel, size, method = _METHOD.unpack_from(received, at)
    if kind != FRAME_METHOD or method != Basic.Deliver.INDEX:
        raise _Rare
    header_at = at + size + _AROUND
    if len(received) < header_at + _HEADER.size:
        raise Incomplete
    kind, header_channel, size, _, _, body_size, flags = _HEADER.unpack_from(received, header_at)
    if kind != FRAME_HEADER or header_channel != channel or body_size > most or flags & ~_KNOWN:
        raise _Rare
    body_at = header_at + size + _AROUND
    end = body_at + body_size + _AROUND if body_size else body_at
    if len(received) < end:
        raise Incomplete
    if body_size and _FRAME.unpack_from(received, body_at) != (FRAME_BODY, channel, body_size):
        raise _Rare
    if not received[header_at - 1] == received[body_at - 1] == received[end - 1] == FRAME_END:
        raise _Rare
    return Read(
        end,
        channel,
        3 if body_size else 2,
        _deliver(received[at + _METHOD.size : header_at - 1]),
        _properties(received[header_at + _HEADER.size : body_at - 1], flags),
        received[body_at + _FRAME.size : end - 1] if body_size else b"",
    )


def _deliver(arguments: bytes) -> Basic.Deliver:
    consumer_tag, at = _short(arguments, 0)
    delivery_tag, redelivered = _TAG.unpack_from(arguments, at)
    exchange, routing_key = _route(arguments[at + _TAG.size :])
    return Basic.Deliver(consumer_tag, delivery_tag, redelivered, exchange, routing_key)


@functools.lru_cache(maxsize=256)
def _route(encoded: bytes) -> tuple[str, str]:
    """Exchange and routing key: the same few, again and again."""
    exchange, at = _short(encoded, 0)
    routing_key, _ = _short(encoded, at)
    return exchange, routing_key


def _properties(encoded: bytes, flags: int) -> BasicProperties:
    """The properties, in the order in which AMQP has them."""
    properties, at = BasicProperties(), 0
    if flags & BasicProperties.FLAG_CONTENT_TYPE:
        properties.content_type, at = _short(encoded, at)
    if flags & BasicProperties.FLAG_HEADERS:
        properties.headers, at = _table(encoded, at)
    if flags & BasicProperties.FLAG_DELIVERY_MODE:
        properties.delivery_mode, at = encoded[at], at + 1
    if flags & BasicProperties.FLAG_CORRELATION_ID:
        properties.correlation_id, at = _short(encoded, at)
    if flags & BasicProperties.FLAG_REPLY_TO:
        properties.reply_to, at = _short(encoded, at)
    if flags & BasicProperties.FLAG_MESSAGE_ID:
        properties.message_id, at = _short(encoded, at)
    if flags & BasicProperties.FLAG_TYPE:
        properties.type, at = _short(encoded, at)
    if at != len(encoded):
        raise _Rare
    return properties


def _short(encoded: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + encoded[at]
    return encoded[at + 1 : end].decode(), end


def _table(encoded: bytes, at: int) -> tuple[dict[str, Any], int]:
    """A table of texts and 32-bit numbers, as our envelopes have them."""
    table: dict[str, Any] = {}
    end = at + _LONG.size + _LONG.unpack_from(encoded, at)[0]
    at += _LONG.size
    while at < end:
        key, at = _short(encoded, at)
        kind = encoded[at]
        if kind == ord("S"):
            text_at = at + 1 + _LONG.size
            at = text_at + _LONG.unpack_from(encoded, at + 1)[0]
            table[key] = encoded[text_at:at].decode()
        elif kind == ord("I"):
            table[key] = _INT.unpack_from(encoded, at + 1)[0]
            at += 1 + _INT.size
        else:
            raise _Rare
    if at != end:
        raise _Rare
    return table, at
