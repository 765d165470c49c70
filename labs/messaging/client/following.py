"""Follows a queue in order: one message after the other, each acknowledged when the next one is asked for.

There are no retries that could overtake: what was not acknowledged goes back to its place in the queue, and comes again
on the next channel. A follower may therefore see its last message twice, and none out of order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import structlog
from pika import exceptions
from pika.spec import Basic, BasicProperties

from labs.errors import BrokerError, DependencyDown, MessageError
from labs.messaging.client.events import AnyObject, Received
from labs.messaging.connection import Channel, Connection
from labs.messaging.delivery import Delivery
from labs.messaging.message import decode, enveloped, now
from labs.messaging.objects import decode as decode_object
from labs.messaging.supervision import Backoff
from labs.settings import Settings

log = structlog.get_logger()

_PREFETCH = 20

_Arrived = tuple[Basic.Deliver, BasicProperties, bytes]
Prepare = Callable[[], Awaitable[None]]


class Channels:
    """Channels of one connection, which is opened when it is needed, and again when it is lost."""

    def __init__(self, url: str, settings: Settings, *, name: str) -> None:
        self._url = url
        self._settings = settings
        self._name = name
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    async def channel(self) -> Channel:
        """A new channel. Raises as `Connection.open` does."""
        async with self._opening:
            if self._connection is None or self._connection.closed.done():
                self._connection = await Connection.open(
                    self._url,
                    name=self._name,
                    heartbeat_s=self._settings.heartbeat_s,
                    timeout_s=self._settings.publish_timeout_s,
                )
        return await self._connection.channel()

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            await self._connection.close()


async def follow(
    channels: Channels, queue: str, *, prepare: Prepare, until: asyncio.Event, max_bytes: int
) -> AsyncGenerator[Received]:
    """The messages of a queue until an event is set; a lost connection is waited out.

    Args:
        channels: of the broker.
        queue: one with a single consumer at a time.
        prepare: run before each channel: makes sure that the queue is there. Its `BrokerError` or `DependencyDown` is
            waited out.
        until: ends it, also while it waits for a message.
        max_bytes: a larger message, or one that is no JSON object, is dropped and logged.
    """
    backoff = Backoff()
    while not until.is_set():
        try:
            await prepare()
            channel = await channels.channel()
            async with contextlib.aclosing(_session(channel, queue, until)) as arriving:
                async for arrived in arriving:
                    backoff.reset()
                    received = _read(queue, *arrived, max_bytes=max_bytes)
                    if received is not None:
                        yield received
        except (BrokerError, DependencyDown) as error:
            log.warning("no longer following, trying again", queue=queue, reason=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next_delay_s()):
                    await until.wait()


async def _session(channel: Channel, queue: str, until: asyncio.Event) -> AsyncGenerator[_Arrived]:
    """What arrives on a channel; what has been taken is acknowledged, the rest goes back when it closes."""
    arrived: asyncio.Queue[_Arrived] = asyncio.Queue()
    ending = asyncio.ensure_future(until.wait())
    try:
        await channel.set_prefetch(_PREFETCH)
        await channel.consume(queue, lambda _, *message: arrived.put_nowait(message))
        while True:
            getting = asyncio.ensure_future(arrived.get())
            try:
                ends: set[asyncio.Future[Any]] = {getting, ending, channel.closed}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                getting.cancel()
            if channel.closed.done():
                raise channel.closed.result()
            if ending.done():
                return
            message = getting.result()
            yield message
            with contextlib.suppress(exceptions.AMQPError):
                channel.raw.basic_ack(message[0].delivery_tag)
    finally:
        ending.cancel()
        await channel.close()


def _read(
    queue: str, method: Basic.Deliver, properties: BasicProperties, body: bytes, *, max_bytes: int
) -> Received | None:
    try:
        message = decode(enveloped(properties, kind=method.routing_key), body, max_bytes=max_bytes)
        content = decode_object(body, max_bytes=max_bytes)
    except MessageError as error:
        log.warning("dropped what can't be read", queue=queue, reason=str(error))
        return None
    delivery = Delivery(
        message=message,
        body=AnyObject().parse(message),
        queue=queue,
        exchange=method.exchange,
        routing_key=method.routing_key,
        redelivered=bool(method.redelivered),
        received_at=now(),
    )
    return Received(content, delivery)
