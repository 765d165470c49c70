"""A queue of one's own on the real broker, and what tests do with it: publish, consume, look, break."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pika.spec import BasicProperties
from pydantic import BaseModel

from labs.broker import VirtualHost
from labs.errors import BrokerError
from labs.messaging.connection import Channel, Connection
from labs.messaging.consumer import Consumer
from labs.messaging.dead_letters import DeadLetter, browse
from labs.messaging.delivery import ConsumerConfig, Handler, OnDeadLetter
from labs.messaging.message import Message, Schema, Schemas
from labs.messaging.publisher import Publisher
from labs.messaging.retry import RetryPolicy
from labs.messaging.topology import Topology, dead_letter_queue, declare, work_queue
from tests.waiting import eventually

#: Short, and different enough to be told apart.
DELAYS_MS = (60, 120, 240)


class Ping(BaseModel):
    """The body of the tests' message."""

    n: int
    note: str = ""


PING = Schema("ping", 1, Ping)
SCHEMAS = Schemas(PING)


def ping(n: int = 0, note: str = "") -> Message:
    return PING.message(Ping(n=n, note=note))


def number(body: BaseModel) -> int:
    assert isinstance(body, Ping)
    return body.n


async def tell(url: str, routing_key: str, body: bytes, properties: BasicProperties, *, exchange: str = "") -> None:
    """Publish as a stranger would; confirmed, else it may be lost when the connection closes."""
    async with Publisher(url, name="a stranger") as stranger:
        await stranger.publish_raw(body, properties, exchange=exchange, routing_key=routing_key)


@dataclass(frozen=True)
class Workbench:
    """A work queue with its retry and dead-letter queues."""

    vhost: VirtualHost
    queue: str
    topology: Topology

    @property
    def url(self) -> str:
        return self.vhost.amqp_url

    @property
    def dlq(self) -> str:
        return dead_letter_queue(self.queue)

    def publisher(self, *, url: str | None = None, **options: Any) -> Publisher:
        """A publisher that declares the topology."""
        options.setdefault("name", f"{self.queue} publisher")
        options.setdefault("timeout_s", 60.0)
        return Publisher(url or self.url, prepare=lambda channel: declare(channel, self.topology), **options)

    def consumer(
        self,
        handler: Handler,
        publisher: Publisher,
        *,
        url: str | None = None,
        prefetch: int = 50,
        max_bytes: int = 100_000,
        delays_ms: tuple[int, ...] = DELAYS_MS,
        on_dead_letter: OnDeadLetter | None = None,
    ) -> Consumer:
        config = ConsumerConfig(
            queue=self.queue,
            topology=self.topology,
            schemas=SCHEMAS,
            policy=RetryPolicy(delays_ms),
            prefetch=prefetch,
            max_bytes=max_bytes,
        )
        name = f"{self.queue} consumer"
        return Consumer(url or self.url, config, handler, publisher=publisher, name=name, on_dead_letter=on_dead_letter)

    @contextlib.asynccontextmanager
    async def consuming(self, handler: Handler, **options: Any) -> AsyncIterator[tuple[Publisher, Consumer]]:
        """A publisher, and a consumer that runs for the length of the block."""
        async with self.publisher() as publisher:
            consumer = self.consumer(handler, publisher, **options)
            async with running(consumer):
                yield publisher, consumer

    async def send(self, publisher: Publisher, *messages: Message) -> None:
        """Publish to the work queue, confirmed."""
        await asyncio.gather(*(publisher.publish(m, exchange="", routing_key=self.queue) for m in messages))

    async def send_raw(self, publisher: Publisher, body: bytes, properties: BasicProperties) -> None:
        await publisher.publish_raw(body, properties, exchange="", routing_key=self.queue)

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[Channel]:
        """A plain channel."""
        connection = await Connection.open(self.url, name=f"{self.queue} test")
        try:
            yield await connection.channel()
        finally:
            await connection.close()

    async def declared(self) -> None:
        async with self.channel() as channel:
            await declare(channel, self.topology)

    async def depth(self, queue: str | None = None) -> int:
        """Messages ready in a queue, the work queue if not said otherwise."""
        async with self.channel() as channel:
            return await channel.queue_length(queue or self.queue)

    async def has(self, count: int, *, queue: str | None = None) -> None:
        """Wait until a queue holds so many messages."""

        async def holds() -> bool:
            try:
                return await self.depth(queue) == count
            except BrokerError:  # it may not be there yet
                return False

        await eventually(holds)

    async def letters(self, count: int | None = None) -> list[DeadLetter]:
        """The dead letters, when there are `count`."""
        if count is not None:
            await self.has(count, queue=self.dlq)
        return await browse(self.url, self.dlq)

    async def take(self, queue: str | None = None) -> tuple[BasicProperties, bytes]:
        """Take one message out of a queue, when there is one."""
        taken: list[tuple[BasicProperties, bytes]] = []

        async def took() -> bool:
            async with self.channel() as channel:
                got = await channel.get(queue or self.queue)
                if got is None:
                    return False
                channel.raw.basic_ack(got[0].delivery_tag)
                await channel.close()
                taken.append((got[1], got[2]))
                return True

        await eventually(took)
        return taken[0]

    async def force_close(self, title: str) -> None:
        """Close the client's connection of that name through the management API."""
        await force_close(self.vhost, title)


async def force_close(vhost: VirtualHost, title: str) -> None:
    """Close connections through the management API, once there is one of that title."""

    def close() -> bool:
        named = [each for each in vhost.management.connections(vhost.name) if each.title == title]
        for connection in named:
            vhost.management.close_connection(connection.name)
        return bool(named)

    await eventually(lambda: asyncio.to_thread(close))


@contextlib.asynccontextmanager
async def running(consumer: Consumer) -> AsyncIterator[None]:
    """Run a consumer for the length of a block; it is connected when the block begins."""
    task = asyncio.create_task(consumer.run())
    try:
        await eventually(lambda: consumer.connected)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def workbench_in(vhost: VirtualHost, *, delays_ms: tuple[int, ...] = DELAYS_MS, delivery_limit: int = 20) -> Workbench:
    """A work queue with a name that nobody else has."""
    queue = f"work-{secrets.token_hex(4)}"
    return Workbench(vhost, queue, work_queue(queue, delays_ms=delays_ms, delivery_limit=delivery_limit))
