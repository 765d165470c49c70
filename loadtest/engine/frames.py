"""AMQP 0-9-1 on the wire: a publish marshalled once and copied, and frames taken apart where that is needed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pamqp import body, commands, frame, header

from loadtest.engine import stamps
from loadtest.engine.stamps import Stamps

Bytes = NDArray[np.uint8]

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = 0xCE
#: Type, channel and payload size before the payload, the end mark behind it.
HEAD = struct.Struct(">BHI")
OVERHEAD = HEAD.size + 1
HEARTBEAT_FRAME = bytes([HEARTBEAT, 0, 0, 0, 0, 0, 0, END])

#: A whole ack: frame head, class and method, delivery tag, the flag `multiple`, end mark.
ACK_FRAME = struct.Struct(">BHIIQBB")
_ACK_PAYLOAD = 13

#: Class and method id, as the first four bytes of a method's payload.
ACK, NACK, RETURN, DELIVER = (60 << 16) | 80, (60 << 16) | 120, (60 << 16) | 50, (60 << 16) | 60


class ProtocolError(Exception):
    """What arrived is not AMQP 0-9-1."""


@dataclass(frozen=True)
class Frame:
    """One frame: where it stands in what was read, and its payload."""

    kind: int
    channel: int
    payload: memoryview
    start: int
    end: int

    @property
    def method(self) -> int:
        """Class and method id of a method frame."""
        return int.from_bytes(self.payload[:4], "big")


def frames(data: memoryview, *, start: int = 0) -> Iterator[Frame]:
    """The complete frames in what was read so far; what is cut off at the end waits for more.

    Raises:
        ProtocolError: a frame doesn't end where it should.
    """
    while start + OVERHEAD <= len(data):
        kind, channel, size = HEAD.unpack_from(data, start)
        end = start + OVERHEAD + size
        if end > len(data):
            return
        if data[end - 1] != END:
            raise ProtocolError(f"a frame of kind {kind} with {size} bytes has no end mark")
        yield Frame(kind, channel, data[start + HEAD.size : end - 1], start, end)
        start = end


def decoded(found: Frame) -> Any:
    """A method frame as pamqp's object."""
    raw = HEAD.pack(found.kind, found.channel, len(found.payload)) + bytes(found.payload) + bytes([END])
    return frame.unmarshal(raw)[2]


def marshalled(method: Any, *, channel: int = 1) -> bytes:
    """A method as a frame."""
    return frame.marshal(method, channel)


def ack_upto(tag: int) -> bytes:
    """The ack of this delivery and all before it, on the one channel: sooner than a method is marshalled."""
    return ACK_FRAME.pack(METHOD, 1, _ACK_PAYLOAD, ACK, tag, 1, END)


def content(
    method: Any, payload: bytes, properties: commands.Basic.Properties, *, frame_max: int, channel: int = 1
) -> bytes:
    """A method with content: the method's frame, the header's, and as many of the body as the size asks for."""
    parts = [
        frame.marshal(method, channel),
        frame.marshal(header.ContentHeader(body_size=len(payload), properties=properties), channel),
    ]
    room = frame_max - OVERHEAD
    parts += [frame.marshal(body.ContentBody(payload[at : at + room]), channel) for at in range(0, len(payload), room)]
    return b"".join(parts)


class PublishTemplate:
    """Messages that differ in nothing but their stamps: marshalled once, copied, and stamped column by column.

    Args:
        exchange, routing_key: where to.
        size: of the body, in bytes; at least that of a stamp.
        persistent: whether the broker is to write them to disk.
        frame_max: what the connection has agreed on.
        most: messages that go out together at the most.
        mandatory: whether the broker is to return what it can't route.
    """

    def __init__(
        self,
        *,
        exchange: str,
        routing_key: str,
        size: int,
        persistent: bool,
        frame_max: int,
        most: int = 512,
        mandatory: bool = True,
    ) -> None:
        method = commands.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
        properties = commands.Basic.Properties(delivery_mode=2 if persistent else 1)
        payload = bytes(stamps.SIZE) + stamps.filler(size)
        row = content(method, payload, properties, frame_max=frame_max)
        # The stamp stands at the start of the first body frame, which every frame_max has room for.
        self._at = len(content(method, b"", properties, frame_max=frame_max)) + HEAD.size
        self.row_bytes = len(row)
        self.most = most
        self._rows: Bytes = np.tile(np.frombuffer(row, np.uint8), (most, 1))

    def stamped(self, stamped: Stamps) -> memoryview:
        """The bytes of so many messages; good until the next call."""
        rows = self._rows[: len(stamped)]
        rows[:, self._at : self._at + stamps.SIZE] = stamped.view(np.uint8).reshape(-1, stamps.SIZE)
        return rows.reshape(-1).data
