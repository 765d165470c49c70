"""What was read from a socket and not yet taken, in one buffer: so that many messages can be looked at together."""

from __future__ import annotations

import socket

import numpy as np

from loadtest.engine.errors import LinkError
from loadtest.engine.frames import Bytes

_BUFFER = 1 << 20


class Inbox:
    """What was read and not yet taken: one buffer, in which whole rows can be looked at without copying."""

    def __init__(self, capacity: int = _BUFFER) -> None:
        self._bytes = bytearray(capacity)
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def data(self) -> memoryview:
        """What is there; good until the next `receive`."""
        return memoryview(self._bytes)[self._start : self._end]

    @property
    def array(self) -> Bytes:
        """The same for numpy."""
        return np.frombuffer(self.data, np.uint8)

    def receive(self, sock: socket.socket) -> int:
        """Read what the socket has; returns how many bytes.

        Raises:
            LinkError: the other side has closed.
        """
        self._make_room()
        try:
            count = sock.recv_into(memoryview(self._bytes)[self._end :])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise LinkError(f"the connection was lost: {error.strerror or error}") from error
        if count == 0:
            raise LinkError("the broker closed the connection")
        self._end += count
        return count

    def feed(self, data: bytes) -> None:
        """Take bytes from elsewhere."""
        self._make_room(len(data))
        self._bytes[self._end : self._end + len(data)] = data
        self._end += len(data)

    def drop(self, count: int) -> None:
        """Forget the first bytes: they are dealt with."""
        self._start += count

    def _make_room(self, wanted: int = 1) -> None:
        if self._start == self._end:
            self._start = self._end = 0
        room = len(self._bytes) - self._end
        if room >= max(wanted, len(self._bytes) // 4):
            return
        kept = bytes(self.data)
        if len(kept) + wanted > len(self._bytes) // 2:
            # A message larger than the buffer: views of the old one stay valid, it is only left behind.
            self._bytes = bytearray(2 * max(len(self._bytes), len(kept) + wanted))
        self._bytes[: len(kept)] = kept
        self._start, self._end = 0, len(kept)
