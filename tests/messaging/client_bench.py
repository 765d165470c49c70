"""Clients with names of their own on the tests' virtual host."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from labs.broker import VirtualHost
from labs.messaging.client import Pool, RabbitMQClient, Received, pool
from labs.messaging.connection import Channel, Connection
from labs.messaging.rpc import RpcClient
from labs.settings import Settings, load_settings
from tests.waiting import eventually
from tests.workbench import force_close

DELAYS_MS = (60, 120, 240)


def calls_may_take(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that say nothing else have so long: on a busy machine five seconds may go by before they are connected."""
    monkeypatch.setattr(pool, "RpcClient", partial(RpcClient, timeout_s=seconds))


@dataclass
class ClientBench:
    """An exchange and a queue that no other test has, and a pool of connections."""

    vhost: VirtualHost
    pool: Pool = field(default_factory=lambda: Pool(idle_s=60))
    name: str = field(default_factory=lambda: f"svc-{secrets.token_hex(4)}")

    @property
    def url(self) -> str:
        return self.vhost.amqp_url

    @property
    def exchange(self) -> str:
        return f"{self.name}.events"

    @property
    def queue(self) -> str:
        return f"{self.name}.queue"

    @property
    def settings(self) -> Settings:
        return load_settings(retry_delays_ms=DELAYS_MS, publish_timeout_s=20.0, grace_s=5.0)

    def client(self, url: str | None = None, **options: Any) -> RabbitMQClient:
        given = {"settings": self.settings, "pool": self.pool, "name": self.name, **options}
        return RabbitMQClient(url or self.url, **given)

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[Channel]:
        """A plain channel: a service that knows nothing of ours, or a look at a queue."""
        connection = await Connection.open(self.url, name=f"{self.name} test")
        try:
            yield await connection.channel()
        finally:
            await connection.close()

    async def depth(self, queue: str) -> int:
        async with self.channel() as channel:
            return await channel.queue_length(queue)

    async def has(self, queue: str, count: int) -> None:
        """Wait until a queue holds so many messages."""

        async def holds() -> bool:
            return await self.depth(queue) == count

        await eventually(holds)

    async def connections(self, title: str = "") -> list[str]:
        """The titles of this bench's connections that contain a text, as the broker lists them."""
        found = await asyncio.to_thread(self.vhost.management.connections, self.vhost.name)
        return sorted(c.title for c in found if c.title.startswith(self.name) and title in c.title)

    async def force_close(self, title: str) -> None:
        """Close connections through the management API, once there is one of that title."""
        await force_close(self.vhost, title)


@dataclass
class Inbox:
    """A callback that keeps what it gets."""

    got: list[Received] = field(default_factory=list)

    async def __call__(self, message: Received) -> None:
        self.got.append(message)

    async def has(self, count: int) -> None:
        await eventually(lambda: len(self.got) >= count)
