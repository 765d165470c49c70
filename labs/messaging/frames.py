"""An AMQP connection that reads deliveries and writes frames in one go, and survives headers that can't be decoded.

pika decodes headers while it reads from the socket: a timestamp in milliseconds, or arrays nested a thousand deep,
raise there, and end the connection with every message in hand. The broker delivers them again, and so on, until
healthy messages are given up beside the poisoned one. Here such a message arrives without properties instead: a
message without an envelope, which a consumer dead-letters.

pika also asks the kernel for each frame that it writes, and for each four kilobytes that it reads. Here what one turn
of the event loop writes goes out at its end, in one piece and in order.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from pika import exceptions, frame, spec
from pika.adapters.asyncio_connection import AsyncioConnection

from labs.messaging.reading import Incomplete, read_delivery

#: type (1 byte), channel (2), size (4); then, in a content header: class (2), weight (2), body size (8).
_FRAME = struct.Struct(">BHL")
_BODY_SIZE = struct.Struct(">Q")
_BODY_SIZE_AT = _FRAME.size + 4
_END_SIZE = 1
_RECEIVE_BYTES = 64 * 1024

_UNDECODABLE = (ArithmeticError, OSError, RecursionError, ValueError, exceptions.InvalidFieldTypeException)


class TolerantConnection(AsyncioConnection):
    """Reads a content header that can't be decoded as one without properties; all else as pika does, but faster."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._unwritten: list[bytes] = []
        super().__init__(*arguments, **named)

    def _read_frame(self) -> tuple[int, Any]:
        try:
            return super()._read_frame()
        except _UNDECODABLE:
            kind, channel, size = _FRAME.unpack_from(self._frame_buffer)
            if kind != spec.FRAME_HEADER:
                raise
            (body_size,) = _BODY_SIZE.unpack_from(self._frame_buffer, _BODY_SIZE_AT)
            return _FRAME.size + size + _END_SIZE, frame.Header(channel, body_size, spec.BasicProperties())

    def _proto_connection_made(self, transport: Any) -> None:
        transport._MAX_RECV_BYTES = _RECEIVE_BYTES
        super()._proto_connection_made(transport)

    def _on_data_available(self, data_in: bytes) -> None:
        self._frame_buffer += data_in
        while self._frame_buffer:
            try:
                self._deliver_all()
            except Incomplete:
                return
            if not self._frame_buffer:
                return
            consumed, value = self._read_frame()
            if not value:
                return
            self._trim_frame_buffer(consumed)
            self._process_frame(value)

    def _deliver_all(self) -> None:
        """Pass on the plain deliveries that the received bytes begin with."""
        received, at = self._frame_buffer, 0
        try:
            while (read := read_delivery(received, at, most=self._body_max_length)) is not None:
                channel = self._channels.get(read.channel)
                consumer = channel._consumers.get(read.method.consumer_tag) if channel else None
                if channel is None or consumer is None or read.method.consumer_tag in channel._cancelled:
                    return
                at = read.end
                self.frames_received += read.frames
                consumer(channel, read.method, read.properties, read.body)
        finally:
            if at:
                self._trim_frame_buffer(at)

    def _output_marshaled_frames(self, marshaled_frames: Any) -> None:
        self.frames_sent += len(marshaled_frames)
        self.bytes_sent += sum(map(len, marshaled_frames))
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._write)
        self._unwritten += marshaled_frames

    def _write(self) -> None:
        written, self._unwritten = b"".join(self._unwritten), []
        if self._transport is not None:  # else the connection has ended meanwhile
            self._transport.write(written)
