"""What befalls frames on their way through the tap: nothing in calm weather; each fault of the network is another.

A weather is asked for each frame of either direction, in order, and the next of that direction waits until it has
answered. What a program says is written down before; what the broker says when it is sent on, so that the history
never has what a program was not told.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import NoReturn

from labs.trial.tap.frames import Frame

_AT_ONCE = struct.pack("ii", 1, 0)


class Way:
    """One direction of one connection.

    Args:
        sink: where it leads.
        both: the writers of both directions.
        from_broker: which direction it is.
        see: writes a frame down.
    """

    def __init__(
        self,
        sink: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, ...],
        see: Callable[[Frame], None],
        *,
        from_broker: bool,
    ) -> None:
        self.from_broker = from_broker
        self._sink = sink
        self._both = both
        self._see = see
        self._ready = bytearray()

    def heard(self, frame: Frame) -> None:
        """A frame has come: if it is a program's, it is written down."""
        if not self.from_broker:
            self._see(frame)

    def send(self, frame: Frame) -> None:
        """Pass a frame on, with the next `flush`; if it is the broker's, it is written down."""
        if self.from_broker:
            self._see(frame)
        self._ready += frame.raw

    def slip_in(self, raw: bytes) -> None:
        """Send what the other side never said, and nobody writes down."""
        self._ready += raw

    async def flush(self, *, piece: int | None = None, pause_s: float = 0.0) -> None:
        """Send what is ready, at once or a piece (bytes) at a time; a slow side slows us."""
        ready, self._ready = bytes(self._ready), bytearray()
        step = piece or max(1, len(ready))
        for start in range(0, len(ready), step):
            self._sink.write(ready[start : start + step])
            await self._sink.drain()
            if piece:
                await asyncio.sleep(pause_s)

    def reset(self) -> NoReturn:
        """Break the connection off on both sides (RST), with whatever is on its way."""
        for writer in self._both:
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()
        raise ConnectionResetError("broken off by the weather")


class Weather:
    """Calm weather: frames are passed on as they come. Others override what they change."""

    async def carry(self, frame: Frame, way: Way) -> None:
        """Pass a frame on (`way.send`), or don't, or not yet."""
        way.send(frame)

    async def end(self, way: Way) -> None:
        """A side has closed: return when the other shall learn it."""

    def over(self) -> None:
        """Let go of what is held: calm weather has come. Called on the tap's event loop."""
