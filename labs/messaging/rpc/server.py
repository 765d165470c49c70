"""The answering side: every request that says where to answer gets one, a result or a typed error, never a traceback.

A request is acknowledged after its reply: if the server is killed before, another one gets it, and the handler runs
again. A handler must therefore be idempotent. Several servers of one queue share its requests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from pika import exceptions
from pika.spec import Basic, BasicProperties

from labs.errors import BrokerError, MessageError, RpcError
from labs.messaging.connection import Channel, Connection, check_url
from labs.messaging.objects import decode, encode
from labs.messaging.rpc import wire
from labs.messaging.rpc.statistics import RpcServerStatistics
from labs.messaging.settlement import where
from labs.messaging.supervision import keep_connected
from labs.messaging.topology import DEFAULT_EXCHANGE, declare
from labs.telemetry import DELIVERIES

log = structlog.get_logger()

#: Gets the request's JSON object, returns the reply's. Raise `RpcError` to answer with an error of your own; one that
#: a call of the handler's raises and that it lets pass is its answer, too.
Handler = Callable[[dict[str, Any]], Awaitable[Mapping[str, Any]]]

#: Seconds that a connected but silent broker may take to answer when we want to leave.
_ANSWER_TIMEOUT_S = 3.0


class RpcServer:
    """Answers the requests of a queue. `run` until cancelled, `stop` to end in good order.

    Replies travel on the connection that requests come on: while the broker blocks publishers (an alarm) they and their
    acknowledgements wait, and so no further requests are taken than `prefetch`.

    Args:
        url: the broker.
        queue: declared by the server, see `wire.request_queue`.
        handler: runs once for each request, several at the same time.
        name: of the connection, shown in the management UI.
        prefetch: most requests in hand at once, and so most handlers running at once.
        max_bytes: a larger request is answered with an error unread; a larger reply isn't sent.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        handler: Handler,
        *,
        name: str,
        prefetch: int = 50,
        max_bytes: int = 1024 * 1024,
        heartbeat_s: int = 30,
        timeout_s: float = 10.0,
    ) -> None:
        check_url(url)
        self._url = url
        self._queue = queue
        self.topology = wire.request_queue(queue)
        self._handler = handler
        self._name = name
        self._prefetch = prefetch
        self._max_bytes = max_bytes
        self._heartbeat_s = heartbeat_s
        self._timeout_s = timeout_s
        self._channel: Channel | None = None
        self._tag: str | None = None
        self._stopping = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self.statistics = RpcServerStatistics()

    @property
    def connected(self) -> bool:
        return self._channel is not None and self._channel.is_open

    @property
    def in_hand(self) -> int:
        """Requests being handled now."""
        return len(self._running)

    async def run(self) -> None:
        """Serve until cancelled; recovers from every kind of loss of its channel."""
        await keep_connected(
            self._url, self._session, name=self._name, heartbeat_s=self._heartbeat_s, timeout_s=self._timeout_s
        )

    async def _session(self, connection: Connection) -> BrokerError:
        channel = await connection.channel()
        await declare(channel, self.topology)
        await channel.set_prefetch(self._prefetch)
        if self._stopping.is_set():
            return await channel.closed
        self._tag = await channel.consume(self._queue, lambda _, *rest: self._accept(channel, *rest))
        self._channel = channel
        self._count("connects")
        log.info("serving", queue=self._queue, prefetch=self._prefetch)
        if self._stopping.is_set():  # told so while the broker was asked
            await channel.cancel(self._tag)
        return await channel.closed

    async def stop(self, *, grace_s: float) -> None:
        """Take no more requests, answer those in hand within `grace_s` seconds, leave the rest to other servers."""
        self._stopping.set()
        channel = self._channel
        if channel is not None and channel.is_open and self._tag is not None:
            with contextlib.suppress(BrokerError, TimeoutError):
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    await channel.cancel(self._tag)
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=5)
        if channel is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    await channel.close()

    def _count(self, outcome: str) -> None:
        setattr(self.statistics, outcome, getattr(self.statistics, outcome) + 1)
        DELIVERIES.labels(self._queue, outcome).inc()

    def _accept(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        self._count("delivered")
        if self._stopping.is_set():
            self._give_back(channel, method.delivery_tag)
            return
        task = asyncio.create_task(self._serve(channel, method, properties, body))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        try:
            reply = await self._reply(body) if properties.reply_to else None
        except asyncio.CancelledError:
            self._give_back(channel, method.delivery_tag)
            raise
        try:
            self._settle(channel, method, properties, reply)
        except exceptions.AMQPError:
            self._count("orphaned")

    async def _reply(self, body: bytes) -> bytes | RpcError:
        """What to answer: an encoded reply, or an error without anything that the handler has not said on purpose."""
        try:
            request = decode(body, max_bytes=self._max_bytes)
        except MessageError as error:
            return RpcError(wire.MALFORMED, str(error))
        try:
            return encode(await self._handler(request), max_bytes=self._max_bytes)
        except RpcError as error:
            return error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return self._unexpected(error)  # something that the handler waited for was cancelled, not we
        except Exception as error:
            return self._unexpected(error)

    def _unexpected(self, error: BaseException) -> RpcError:
        log.error("an RPC handler failed unexpectedly", queue=self._queue, **where(error))
        return RpcError(wire.INTERNAL, "the server failed to handle the request")

    def _settle(
        self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, reply: bytes | RpcError | None
    ) -> None:
        """Send the reply and acknowledge the request, in that order: the broker handles both in the order of sending.

        A second delivery is acknowledged first, in the same breath. RabbitMQ 3.10 ends the connection over a direct
        reply address that it can't read; such a request would come back for ever, and take all others along.
        """
        if not channel.is_open:
            self._count("orphaned")
        elif reply is None or properties.reply_to is None:
            log.warning("dropped a request that doesn't say where to answer", queue=self._queue)
            channel.raw.basic_ack(method.delivery_tag)
            self._count("unanswerable")
        elif method.redelivered:
            channel.raw.basic_ack(method.delivery_tag)
            self._send(channel, properties.reply_to, properties.correlation_id, reply)
        else:
            self._send(channel, properties.reply_to, properties.correlation_id, reply)
            channel.raw.basic_ack(method.delivery_tag)

    def _send(self, channel: Channel, reply_to: str, correlation_id: str | None, reply: bytes | RpcError) -> None:
        # Not mandatory: 3.10 returns a direct reply as unroutable even when it has arrived.
        if isinstance(reply, RpcError):
            properties, body = wire.error_properties(correlation_id), wire.encode_error(reply)
        else:
            properties, body = wire.reply_properties(correlation_id), reply
        channel.raw.basic_publish(DEFAULT_EXCHANGE, reply_to, body, properties)
        self._count("failed" if isinstance(reply, RpcError) else "replied")

    def _give_back(self, channel: Channel, tag: int) -> None:
        with contextlib.suppress(exceptions.AMQPError):
            if channel.is_open:
                channel.raw.basic_nack(tag, requeue=True)
                self._count("requeued")
