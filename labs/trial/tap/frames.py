"""Cuts one direction of an AMQP connection into frames, however the bytes come; no byte is lost, readable or not."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pika import exceptions, frame, spec

#: type (1 byte), channel (2), size (4).
_HEAD = struct.Struct(">BHL")
_END_SIZE = 1
_GREETING = b"AMQP"
_GREETING_SIZE = 8
_KINDS = {spec.FRAME_METHOD, spec.FRAME_HEADER, spec.FRAME_BODY, spec.FRAME_HEARTBEAT}
_UNREADABLE = (ArithmeticError, OSError, RecursionError, ValueError, KeyError, exceptions.AMQPError)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Args:
        raw: its bytes, or those of a greeting, or of what is no AMQP.
        channel: its number; 0 is the connection itself.
        says: pika's frame of a method or a content header, if it can be read.
        body: its part of a message's body, if it is one.
    """

    raw: bytes
    channel: int = 0
    says: Any = None
    body: bytes | None = None

    @property
    def method(self) -> Any:
        """The method, if it is one."""
        return getattr(self.says, "method", None)

    @property
    def properties(self) -> spec.BasicProperties | None:
        """Those of a message, if it is a content header."""
        return getattr(self.says, "properties", None)


class Frames:
    """A direction of a connection, as a stream of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def rest(self) -> bytes:
        """What is no whole frame yet."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that these bytes complete."""
        self._buffer += data
        while found := self._next():
            del self._buffer[: len(found.raw)]
            yield found

    def _next(self) -> Frame | None:
        if self._buffer.startswith(_GREETING):
            whole = len(self._buffer) >= _GREETING_SIZE
            return Frame(bytes(self._buffer[:_GREETING_SIZE])) if whole else None
        if len(self._buffer) < _HEAD.size:
            return None
        kind, channel, size = _HEAD.unpack_from(self._buffer)
        if kind not in _KINDS:
            return Frame(bytes(self._buffer))
        end = _HEAD.size + size + _END_SIZE
        if len(self._buffer) < end:
            return None
        raw = bytes(self._buffer[:end])
        if kind == spec.FRAME_BODY:
            return Frame(raw, channel, body=raw[_HEAD.size : -_END_SIZE])
        return Frame(raw, channel, _read(raw) if kind != spec.FRAME_HEARTBEAT else None)


def _read(raw: bytes) -> Any:
    try:
        return frame.decode_frame(raw)[1]
    except _UNREADABLE:
        return None
