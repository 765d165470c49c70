"""The calling side: every call ends in a reply, a typed error or a timeout, and a stray reply ends nowhere.

Replies come by direct reply-to: there is no reply queue to declare, to watch or to leave behind, and none that could
store a reply; what comes for a caller who has gone is dropped by the broker.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import structlog
from pika import exceptions
from pika.channel import Channel as PikaChannel
from pika.spec import Basic, BasicProperties

from labs.errors import BrokerError, BrokerUnavailable, RpcError, RpcInterrupted, RpcTimeout, Unroutable
from labs.messaging.connection import Channel, Connection, check_url, translate
from labs.messaging.objects import encode
from labs.messaging.rpc.statistics import RpcClientStatistics
from labs.messaging.rpc.wire import DIRECT_REPLY_TO, decode_reply, request_properties
from labs.messaging.supervision import keep_connected
from labs.messaging.topology import DEFAULT_EXCHANGE

log = structlog.get_logger()

#: Ended calls whose stray replies can still be told apart; older ones count as unknown.
_REMEMBERED = 10_000


Reply = asyncio.Future[dict[str, Any]]


class RpcClient:
    """Calls servers; a context manager that keeps one connection and reconnects by itself.

    Args:
        url: the broker.
        name: of the connection, shown in the management UI.
        timeout_s: seconds that a call may take which says nothing else.
        connect_timeout_s: seconds for a connection to come up.
        max_bytes: a larger request is not sent, a larger reply not read.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 10.0,
        heartbeat_s: int = 30,
        max_bytes: int = 1024 * 1024,
    ) -> None:
        check_url(url)
        self._url = url
        self._name = name
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._heartbeat_s = heartbeat_s
        self._max_bytes = max_bytes
        self._connection: Connection | None = None
        self._channel: Channel | None = None
        self._ready = asyncio.Event()
        self._last_error: BrokerError = BrokerUnavailable("not connected yet")
        self._waiting: dict[str, Reply] = {}
        #: Correlation ids of ended calls: whether they had got their reply.
        self._ended: OrderedDict[str, bool] = OrderedDict()
        self._keeper: asyncio.Task[None] | None = None
        self.statistics = RpcClientStatistics()

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(
            keep_connected(
                self._url,
                self._session,
                name=self._name,
                heartbeat_s=self._heartbeat_s,
                timeout_s=self._connect_timeout_s,
                on_end=self._note_end,
            )
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls that still wait raise `RpcInterrupted`."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    @property
    def connected(self) -> bool:
        return self._ready.is_set()

    async def call(self, queue: str, body: Mapping[str, Any], *, timeout_s: float | None = None) -> dict[str, Any]:
        """Send a request to whoever serves `queue`, and wait for the reply.

        A queue that exists without a server looks like a slow server: the call times out. (`RpcServer`'s queues go
        away a minute after their last server.) The request expires at the same moment, so that a server which comes
        later does no work for a caller who has gone. Repeat a call that got no answer only if doing it twice does no
        harm.

        Args:
            queue: of the servers.
            body: a JSON object.
            timeout_s: seconds for all of it, waiting for a connection included.

        Raises:
            RpcError: the server answered with an error.
            Unroutable: there is no such queue; told at once.
            RpcTimeout: no reply in time: the request may have been handled or not.
            RpcInterrupted: the connection was lost meanwhile: the same, and the reply can't come any more.
            BrokerUnavailable: there was no connection, or the broker blocks publishers: it was never sent.
            MessageError: the body is too large, or nothing that JSON can say.
        """
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        request = encode(body, max_bytes=self._max_bytes)
        deadline = asyncio.get_running_loop().time() + limit_s
        correlation_id = str(uuid.uuid4())
        try:
            await self._wait_connected(deadline)
            reply = self._send(queue, request, correlation_id, deadline=deadline)
        except BrokerError:
            self.statistics.unsent += 1
            raise
        try:
            async with asyncio.timeout_at(deadline):
                answer = await reply
        except TimeoutError:
            self.statistics.unanswered += 1
            raise RpcTimeout(f"no reply from {queue} within {limit_s:g} s; is a server running?") from None
        except (RpcInterrupted, asyncio.CancelledError):
            self.statistics.unanswered += 1
            raise
        except Unroutable:
            self.statistics.unroutable += 1
            raise
        except RpcError:
            self.statistics.failed += 1
            raise
        finally:
            self._forget(correlation_id, reply)
        self.statistics.replied += 1
        return answer

    def _forget(self, correlation_id: str, reply: Reply) -> None:
        """Wait no more, but be able to name what still comes."""
        del self._waiting[correlation_id]
        self._ended[correlation_id] = not reply.cancelled()
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    async def _wait_connected(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._ready.wait()
        except TimeoutError:
            raise self._last_error from None

    def _send(self, queue: str, request: bytes, correlation_id: str, *, deadline: float) -> Reply:
        loop = asyncio.get_running_loop()
        if self._channel is None or self._connection is None:
            raise self._last_error
        if self._connection.blocked is not None:
            raise BrokerUnavailable(f"the broker blocks publishers: {self._connection.blocked}")
        properties = request_properties(correlation_id, expires_s=deadline - loop.time())
        try:
            # On the channel that consumes the replies: the broker makes the reply address from it.
            self._channel.raw.basic_publish(DEFAULT_EXCHANGE, queue, request, properties, mandatory=True)
        except exceptions.AMQPError as error:
            raise translate(error) from error
        reply: Reply = loop.create_future()
        self._waiting[correlation_id] = reply
        return reply

    def _note_end(self, reason: BrokerError) -> None:
        self._last_error = reason

    async def _session(self, connection: Connection) -> BrokerError:
        try:
            channel = await connection.channel()
            channel.raw.add_on_return_callback(self._on_return)
            await channel.consume(DIRECT_REPLY_TO, self._on_reply, auto_ack=True)
            self._connection, self._channel = connection, channel
            self.statistics.connects += 1
            self._ready.set()
            return await channel.closed
        finally:
            self._ready.clear()
            self._connection = self._channel = None
            for reply in self._waiting.values():
                if not reply.done():
                    reply.set_exception(RpcInterrupted("the connection was lost before the reply came"))

    def _on_return(self, _: Any, method: Basic.Return, properties: BasicProperties, body: bytes) -> None:  # noqa: ARG002
        reply = self._waiting.get(properties.correlation_id or "")
        if reply is not None and not reply.done():
            reply.set_exception(Unroutable(f"there is no queue {method.routing_key!r}: is a server running?"))

    def _on_reply(self, _: PikaChannel, __: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        correlation_id = properties.correlation_id or ""
        reply = self._waiting.get(correlation_id)
        if reply is None or reply.done():
            self._drop(correlation_id)
            return
        try:
            reply.set_result(decode_reply(properties, body, max_bytes=self._max_bytes))
        except RpcError as error:
            reply.set_exception(error)

    def _drop(self, correlation_id: str) -> None:
        """Count a reply that nobody waits for."""
        answered = correlation_id in self._waiting or self._ended.get(correlation_id)
        if answered is None:
            self.statistics.unknown += 1
        elif answered:
            self.statistics.duplicate += 1
        else:
            self.statistics.late += 1
        log.info("dropped a stray reply", correlation_id=correlation_id)
