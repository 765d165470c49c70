"""One class for a service that talks to others over the broker, called as its integration guide calls it.

Clients of one process share their connections, so opening one for a single message is cheap. Delivery is at least
once, an event's order is not kept, and every failure is one of `labs.errors`: a service goes on without its broker.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Any, Self

import structlog

from labs.errors import BrokerError, BrokerUnavailable, ConfigurationError, Unroutable
from labs.messaging.client.events import AnyObject, Callback, Received, event_consumer, event_queue
from labs.messaging.client.following import Prepare, follow
from labs.messaging.client.parts import Parts
from labs.messaging.client.pool import SHARED, Connections, Pool
from labs.messaging.connection import check_url
from labs.messaging.delivery import OnDeadLetter
from labs.messaging.message import Message, Schemas
from labs.messaging.objects import encode
from labs.messaging.rpc import Handler, RpcServer
from labs.messaging.topology import Topology
from labs.settings import Settings, get_settings
from labs.telemetry import PUBLISHED

log = structlog.get_logger()

_PREFETCH = 50


class RabbitMQClient:
    """One service's way to the others; `connect` and `close`, or an async context manager.

    Args:
        url: the broker; RABBITMQ_URL if not given, else LAB_AMQP_URL.
        name: of the service, shown in the management UI.
        settings: retry delays, timeouts and limits; those of the process if not given.
        pool: whose connections are shared; those of the process if not given.

    Raises:
        ConfigurationError: there is no URL, or it is none.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str | None = None,
        settings: Settings | None = None,
        pool: Pool = SHARED,
    ) -> None:
        self._settings = settings or get_settings()
        found = url or self._settings.rabbitmq_url or self._settings.amqp_url
        if found is None:
            raise ConfigurationError("RABBITMQ_URL is not set: amqp://user:password@host:5672/vhost")
        check_url(found)
        self._url = found
        self._name = name or f"client:{os.getpid()}"
        self._pool = pool
        self._connections: Connections | None = None
        self._parts = Parts()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether it can publish, and all that it consumes and serves is being consumed and served."""
        connections = self._connections
        return connections is not None and connections.publisher.connected and self._parts.connected

    async def connect(self, *, timeout_s: float | None = None) -> None:
        """Wait for a connection, a shared one if there is one; from then on it comes back by itself.

        Args:
            timeout_s: seconds to wait; LAB_PUBLISH_TIMEOUT_S if not given.

        Raises:
            BrokerUnavailable: none came up in time. The client stays closed: connect again, or go on without it.
            BrokerRefused: wrong credentials or virtual host.
        """
        if self._connections is not None:
            return
        connections = await self._pool.acquire(self._url, self._settings, name=self._name)
        try:
            await connections.publisher.wait_connected(timeout_s=timeout_s)
        except BaseException:
            self._pool.release(self._url, connections)
            raise
        if self._connections is not None:  # somebody else has connected it meanwhile
            self._pool.release(self._url, connections)
        self._connections = connections

    async def close(self) -> None:
        """Finish the callbacks and requests in hand within LAB_GRACE_S, give the rest back; harmless to repeat."""
        connections, self._connections = self._connections, None
        if connections is not None:
            try:
                await self._parts.stop(grace_s=self._settings.grace_s)
            finally:
                self._pool.release(self._url, connections)

    def _shared(self) -> Connections:
        if self._connections is None:
            raise BrokerUnavailable("the client is not connected: await its connect() first")
        return self._connections

    async def publish_message(
        self, exchange: str, routing_key: str, message: Mapping[str, Any], *, mandatory: bool = False
    ) -> None:
        """Publish an event, persistent, and wait until the broker has taken it.

        The topic exchange is declared. Returning means: each queue that is bound for it has it, on disk. An event that
        no queue is bound for is nobody's error, since whoever publishes doesn't know who listens; it is gone, counted
        (`lab_client_published_total`, outcome `unheard`). Who must not lose it says `mandatory`, or has
        its queue declared before.

        Args:
            exchange: a topic exchange; "" is the default exchange, whose routing key is a queue's name.
            routing_key: also the message's type.
            message: a JSON object.
            mandatory: an event that nobody hears is an error.

        Raises:
            Unroutable: it is mandatory, and no queue is bound for it.
            Nacked: a queue refused it.
            Unconfirmed: the connection broke, or no confirm came: it may be there or not. A repeated one is another.
            BrokerUnavailable: it was never sent.
            TopologyMismatch: the exchange exists with another type.
            MessageError: the body is too large, or nothing that JSON can say.
        """
        connections = self._shared()
        body = encode(message, max_bytes=self._settings.max_message_bytes)
        try:
            await connections.ensure(exchange)
            await connections.publisher.publish(
                Message(type=routing_key, version=1, body=body), exchange=exchange, routing_key=routing_key
            )
        except Unroutable:
            PUBLISHED.labels(exchange, "unheard").inc()
            if mandatory:
                raise
            log.debug("nobody listens", exchange=exchange, routing_key=routing_key)
        except BrokerError as error:
            PUBLISHED.labels(exchange, type(error).__name__).inc()
            raise
        else:
            PUBLISHED.labels(exchange, "confirmed").inc()

    async def consume_messages(
        self,
        queue: str,
        callback: Callback,
        exchange: str,
        routing_key: str,
        *,
        schemas: Schemas | None = None,
        prefetch: int = _PREFETCH,
        on_dead_letter: OnDeadLetter | None = None,
    ) -> None:
        """Run a callback for each event, until the client is closed; returns as soon as it consumes.

        Exchange, queue and binding are declared, and a dead-letter queue `QUEUE.dlq`. An event is acknowledged after
        its callback: after a crash it comes again, so a callback must be idempotent. One that raises gets it again
        after the waits of LAB_RETRY_DELAYS_MS, then it is dead-lettered, as is at once what raises `PermanentError`
        or can't be read. A lost connection, a cancelled consumer, a deleted queue: it comes back by itself.

        Args:
            queue: durable; several clients of one queue share its events.
            callback: gets the body, several at the same time, in no kept order.
            exchange: a topic exchange.
            routing_key: the binding, `*` for one word and `#` for any number.
            schemas: what the bodies must be; any JSON object if not given.
            prefetch: most callbacks at once.
            on_dead_letter: told after an event went to the dead-letter queue.

        Raises:
            TopologyMismatch: exchange or queue exist with other arguments.
            BrokerError: the broker can't be asked, or refuses.
        """
        topology = event_queue(queue, exchange=exchange, routing_key=routing_key, settings=self._settings)
        connections = self._shared()
        await connections.publisher.declare(topology)  # by the consumer too, which would try again for ever
        consumer = event_consumer(
            self._url,
            queue,
            callback,
            topology=topology,
            schemas=schemas or AnyObject(),
            prefetch=prefetch,
            publisher=connections.publisher,
            on_dead_letter=on_dead_letter,
            name=f"{self._name} {queue}",
            settings=self._settings,
        )
        await self._parts.start(consumer, connections, timeout_s=self._settings.publish_timeout_s)

    async def declare(self, topology: Topology) -> None:
        """Declare what a service needs besides. Raises as `Publisher.declare` does."""
        await self._shared().publisher.declare(topology)

    def follow(self, queue: str, *, prepare: Prepare, until: asyncio.Event) -> AsyncGenerator[Received]:
        """The messages of a queue, one after the other and in order, until an event is set; see `following.follow`."""
        channels = self._shared().channels
        return follow(channels, queue, prepare=prepare, until=until, max_bytes=self._settings.max_message_bytes)

    async def rpc_call(
        self, queue: str, message: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Ask a service and wait for its reply; 5 s if nothing else is said. All is as of `RpcClient.call`.

        Raises:
            RpcError: the service answered with an error: a code and a message.
            Unroutable: no such service has run for a minute.
            RpcTimeout, RpcInterrupted: no reply came; the service may have done it or not.
            BrokerUnavailable: it was never asked.
            MessageError: the message is too large, or nothing that JSON can say.
        """
        calls = await self._shared().calls()
        return await calls.call(queue, message, timeout_s=timeout_s)

    async def setup_rpc_server(self, queue: str, handler: Handler) -> None:
        """Answer calls until the client is closed; returns as soon as it serves. All is as of `RpcServer`.

        What the handler raises as `RpcError` is the caller's error; anything else is `internal`, without its text. A
        request whose server is killed goes to the next one, so a handler must be idempotent.

        Raises:
            BrokerError: the broker can't be asked, or refuses.
        """
        settings = self._settings
        server = RpcServer(
            self._url,
            queue,
            handler,
            name=f"{self._name} {queue}",
            max_bytes=settings.max_message_bytes,
            heartbeat_s=settings.heartbeat_s,
            timeout_s=settings.publish_timeout_s,
        )
        connections = self._shared()
        await connections.publisher.declare(server.topology)
        await self._parts.start(server, connections, timeout_s=settings.publish_timeout_s)
