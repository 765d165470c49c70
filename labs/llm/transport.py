"""Gives every request a connection of its own, in constant time however many are open.

The pool behind httpx2 looks at each of its connections twice per request: with 300 slow calls open that is a third
of the CPU a call costs. So each connection lives in a pool of one, and free pools wait on a stack, the latest used
on top: it is the one whose connection is most likely still alive.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

import httpx2

#: Seconds an unused connection is kept. Shorter than servers wait, so they seldom close one under our hands.
_KEEP_S = 5.0

_ONE = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP_S)


class LeasingTransport(httpx2.AsyncBaseTransport):
    """Leases a connection to each request until its response is closed; never makes one wait for another."""

    def __init__(self, *, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._free: deque[tuple[httpx2.AsyncHTTPTransport, float]] = deque()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request; its errors are those of `AsyncHTTPTransport`."""
        await self._close_unused(since=time.monotonic() - _KEEP_S)
        pool = self._free.pop()[0] if self._free else httpx2.AsyncHTTPTransport(verify=self._tls, limits=_ONE)
        try:
            response = await pool.handle_async_request(request)
        except BaseException:
            self._give_back(pool)
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _LeasedStream(response.stream, give_back=lambda: self._give_back(pool))
        return response

    async def aclose(self) -> None:
        """Close the free connections; those on lease are closed with their responses."""
        await self._close_unused(since=float("inf"))

    def _give_back(self, pool: httpx2.AsyncHTTPTransport) -> None:
        self._free.append((pool, time.monotonic()))

    async def _close_unused(self, *, since: float) -> None:
        while self._free and self._free[0][1] < since:
            pool, _ = self._free.popleft()
            await pool.aclose()


class _LeasedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, *, give_back: Callable[[], None]) -> None:
        self._stream = stream
        self._give_back: Callable[[], None] | None = give_back

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        give_back, self._give_back = self._give_back, None
        try:
            await self._stream.aclose()
        finally:
            if give_back is not None:
                give_back()
