"""A connection of aio-pika with one channel, driven step by step from outside of its event loop; its end is noticed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import aio_pika
import pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.channel import EXCEPTION_MAPPING as CHANNEL_ERRORS
from aiormq.connection import EXCEPTION_MAPPING as CONNECTION_ERRORS
from aiormq.exceptions import AMQPError, ChannelClosed, ChannelInvalidStateError, ConnectionClosed

from loadtest.engine.errors import LinkError, Refused

#: What aio-pika raises when something is wrong with a connection.
FAILURES = (AMQPError, OSError, ChannelInvalidStateError, TimeoutError)
_TIMEOUT_S = 10.0
_CODES = {kind: code for errors in (CHANNEL_ERRORS, CONNECTION_ERRORS) for code, kind in errors.items()}


def link_error(error: BaseException) -> LinkError:
    """What happened, in the engine's words."""
    if isinstance(error, LinkError):
        return error
    if isinstance(error, ChannelClosed | ConnectionClosed) and error.args:
        # Errors with a class of their own have the text alone, all others the code before it.
        return Refused(_CODES.get(type(error)) or int(error.args[0] or 0), str(error.args[-1]))
    return LinkError(f"the connection was lost: {str(error) or repr(error)}")


class Session:
    """A connection with one channel, used from outside of its event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._connection: AbstractConnection | None = None
        self.error: BaseException | None = None
        self.is_open = False

    async def open(self, url: str, *, name: str, confirms: bool = False) -> AbstractChannel:
        """Connect and open the channel."""
        tls = pika.URLParameters(url).ssl_options  # so that URLs mean the same for both clients
        self.error, self.is_open = None, False
        try:
            self._connection = await aio_pika.connect(
                url,
                ssl_context=None if tls is None else tls.context,
                timeout=_TIMEOUT_S,
                client_properties={"connection_name": name},
            )
            channel = self._connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
            await channel.initialize(timeout=_TIMEOUT_S)
        except FAILURES as error:
            raise link_error(error) from error
        channel.close_callbacks.add(self._closed)
        self.is_open = True
        return channel

    def run(self, step: Coroutine[Any, Any, None]) -> None:
        """Let the loop run for one step.

        Raises:
            LinkError: something went wrong in it, or behind it.
        """
        try:
            self._loop.run_until_complete(step)
        except FAILURES as error:
            self.error = self.error or error
        if self.error is not None:
            raise link_error(self.error)

    async def close(self) -> None:
        """Say goodbye; no error if the other side is gone."""
        self.is_open = False
        if self._connection is not None:
            with contextlib.suppress(*FAILURES, asyncio.CancelledError):
                await asyncio.wait_for(self._connection.close(), _TIMEOUT_S)
        self._connection = None

    def _closed(self, _: object, error: BaseException | None) -> None:
        if self.is_open:
            self.error = error or self.error or ConnectionError("the broker closed the connection")
