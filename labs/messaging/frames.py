"""An AMQP connection that survives headers its client library can't decode.

pika decodes headers while it reads from the socket: a timestamp in milliseconds, or arrays nested a thousand deep,
raise there, and end the connection with every message in hand. The broker delivers them again, and so on, until
healthy messages are given up beside the poisoned one. Here such a message arrives without properties instead: a
message without an envelope, which a consumer dead-letters.
"""

from __future__ import annotations

import struct
from typing import Any

from pika import exceptions, frame, spec
from pika.adapters.asyncio_connection import AsyncioConnection

#: type (1 byte), channel (2), size (4); then, in a content header: class (2), weight (2), body size (8).
_FRAME = struct.Struct(">BHL")
_BODY_SIZE = struct.Struct(">Q")
_BODY_SIZE_AT = _FRAME.size + 4
_END_SIZE = 1

_UNDECODABLE = (ArithmeticError, OSError, RecursionError, ValueError, exceptions.InvalidFieldTypeException)


class TolerantConnection(AsyncioConnection):
    """Reads a content header that can't be decoded as one without properties; all else as pika does."""

    def _read_frame(self) -> tuple[int, Any]:
        try:
            return super()._read_frame()
        except _UNDECODABLE:
            kind, channel, size = _FRAME.unpack_from(self._frame_buffer)
            if kind != spec.FRAME_HEADER:
                raise
            (body_size,) = _BODY_SIZE.unpack_from(self._frame_buffer, _BODY_SIZE_AT)
            return _FRAME.size + size + _END_SIZE, frame.Header(channel, body_size, spec.BasicProperties())
