"""The weathers that faults make: each befalls the frames of all connections, and counts what it did."""

from __future__ import annotations

import asyncio
import queue
from dataclasses import dataclass
from typing import Any

from pika import frame, spec

from labs.trial.tap.frames import Frame
from labs.trial.tap.weather import Way, Weather

_PERSISTENT = 2
#: A delivery tag that no broker gives.
_NO_TAG = 2**40


class ResetMidPublish(Weather):
    """Breaks connections off between the header of a message that is published and its body."""

    def __init__(self, times: int) -> None:
        self.left = times

    async def carry(self, frame: Frame, way: Way) -> None:
        """Reset after a content header of a program."""
        way.send(frame)
        if not way.from_broker and frame.properties is not None and self.left:
            self.left -= 1
            await way.flush()
            way.reset()


class BlackHole(Weather):
    """Nothing comes through in either direction, not even the end of a connection; all of it waits here."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    async def carry(self, frame: Frame, way: Way) -> None:
        """Pass on afterwards, as TCP would send again."""
        await way.flush()
        await self._over.wait()
        way.send(frame)

    async def end(self, way: Way) -> None:  # noqa: ARG002
        """Tell afterwards."""
        await self._over.wait()

    def over(self) -> None:
        """Let everything through."""
        self._over.set()


class Drip(Weather):
    """Every frame comes late, a few bytes at a time."""

    def __init__(self, *, latency_s: float, piece: int, pause_s: float) -> None:
        self._latency_s = latency_s
        self._piece = piece
        self._pause_s = pause_s

    async def carry(self, frame: Frame, way: Way) -> None:
        """Wait, then send it in pieces."""
        await asyncio.sleep(self._latency_s)
        way.send(frame)
        await way.flush(piece=self._piece, pause_s=self._pause_s)


class SwallowedConfirms(Weather):
    """No confirm of the broker arrives."""

    def __init__(self) -> None:
        self.swallowed = 0

    async def carry(self, frame: Frame, way: Way) -> None:
        """Drop a broker's ack."""
        if way.from_broker and isinstance(frame.method, spec.Basic.Ack):
            self.swallowed += 1
        else:
            way.send(frame)


class AcksHeldBack(Weather):
    """Acks of consumers are held back, with all that comes after them; then their connections are broken off."""

    def __init__(self, times: int, *, hold_s: float) -> None:
        self.left = times
        self.broken = 0
        self._hold_s = hold_s

    async def carry(self, frame: Frame, way: Way) -> None:
        """Hold a program's ack."""
        if not way.from_broker and self.left and isinstance(frame.method, spec.Basic.Ack):
            self.left -= 1
            await way.flush()
            try:
                await asyncio.sleep(self._hold_s)
            except asyncio.CancelledError:
                self.left += 1  # its connection has ended by itself: another one's turn
                raise
            self.broken += 1
            way.reset()
        way.send(frame)


class ForeignAcks(Weather):
    """An ack of a delivery that never was is slipped in: the broker closes the channel for it (406)."""

    def __init__(self, times: int) -> None:
        #: Before a publish, and before a true ack.
        self.left: dict[type, int] = {spec.Basic.Publish: times, spec.Basic.Ack: times}
        #: The broker complains of each channel but once.
        self._met: set[tuple[Way, int]] = set()

    async def carry(self, frame: Frame, way: Way) -> None:
        """Slip it in between two methods of a program."""
        kind, where = type(frame.method), (way, frame.channel)
        if not way.from_broker and self.left.get(kind) and where not in self._met:
            self.left[kind] -= 1
            self._met.add(where)
            way.slip_in(_ack_of_nothing(frame.channel))
        way.send(frame)


def _ack_of_nothing(channel: int) -> bytes:
    return bytes(frame.Method(channel, spec.Basic.Ack(delivery_tag=_NO_TAG)).marshal())


@dataclass
class Published:
    """A message as a program has published it."""

    exchange: str
    routing_key: str
    properties: Any = None
    size: int = 0
    body: bytes = b""


class Copies(Weather):
    """Keeps a copy of each persistent message that is published, in `seen`; nothing befalls the message itself."""

    def __init__(self) -> None:
        self.seen: queue.Queue[Published] = queue.Queue()
        self._coming: dict[tuple[Way, int], Published] = {}

    async def carry(self, frame: Frame, way: Way) -> None:
        """Pass on, and look."""
        way.send(frame)
        if not way.from_broker:
            self._look(frame, (way, frame.channel))

    def _look(self, frame: Frame, where: tuple[Way, int]) -> None:
        if isinstance(frame.method, spec.Basic.Publish):
            self._coming[where] = Published(frame.method.exchange, frame.method.routing_key)
        coming = self._coming.get(where)
        if coming is None:
            return
        if frame.properties is not None:
            coming.properties, coming.size = frame.properties, frame.says.body_size
        coming.body += frame.body or b""
        if coming.properties is not None and len(coming.body) >= coming.size:
            del self._coming[where]
            if coming.properties.delivery_mode == _PERSISTENT:
                self.seen.put(coming)
