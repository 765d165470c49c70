"""Connections that all clients of one broker share: opened by the first, closed some time after the last.

A client that is opened and closed for one message therefore costs no connection. Publishing, calling and
following have a connection each, opened when it is first needed, since an alarm blocks connections that publish. What
consumes a work queue or serves calls has one of its own, for as long as it does.
"""

from __future__ import annotations

import asyncio

from labs.messaging.client.following import Channels
from labs.messaging.connection import Channel
from labs.messaging.publisher import Publisher
from labs.messaging.rpc import RpcClient
from labs.messaging.topology import Exchange, Topology
from labs.settings import Settings

#: Seconds that connections wait for the next client.
_IDLE_S = 30.0


class Connections:
    """What the clients of one broker have in common; made by a `Pool`."""

    def __init__(self, url: str, settings: Settings, *, name: str) -> None:
        self._url = url
        self._settings = settings
        self._name = name
        self._declared: set[str] = set()
        self._calls: RpcClient | None = None
        self.publisher = Publisher(
            url,
            name=f"{name} publishing",
            prepare=self._forget,
            timeout_s=settings.publish_timeout_s,
            heartbeat_s=settings.heartbeat_s,
        )
        self.channels = Channels(url, settings, name=f"{name} following")
        #: How many clients have it open.
        self.clients = 0
        self.retirement: asyncio.TimerHandle | None = None
        #: Held here, since a client that only consumes may be forgotten by whoever made it.
        self.tasks: set[asyncio.Task[None]] = set()

    async def _forget(self, _: Channel) -> None:
        """Whatever has become of the exchanges meanwhile: on a new connection each is declared again."""
        self._declared.clear()

    async def ensure(self, exchange: str) -> None:
        """Declare a topic exchange, once for each connection. Raises as `Publisher.declare` does."""
        if exchange and exchange not in self._declared:
            await self.publisher.declare(Topology(exchanges=(Exchange(exchange, "topic"),)))
            self._declared.add(exchange)

    async def calls(self) -> RpcClient:
        """The calling side, which connects when it is first asked for."""
        if self._calls is None:
            self._calls = RpcClient(
                self._url,
                name=f"{self._name} calling",
                connect_timeout_s=self._settings.publish_timeout_s,
                heartbeat_s=self._settings.heartbeat_s,
                max_bytes=self._settings.max_message_bytes,
            )
            await self._calls.__aenter__()
        return self._calls

    async def close(self) -> None:
        """Close all of them."""
        await self.publisher.close()
        if self._calls is not None:
            await self._calls.close()
        await self.channels.close()


class Pool:
    """The connections of this process, by event loop and broker.

    Args:
        idle_s: seconds that connections stay open without a client.
    """

    def __init__(self, *, idle_s: float = _IDLE_S) -> None:
        self._idle_s = idle_s
        self._open: dict[tuple[asyncio.AbstractEventLoop, str], Connections] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def acquire(self, url: str, settings: Settings, *, name: str) -> Connections:
        """The connections to a broker, to be given back by `release`; they come up by themselves.

        The first client's name and settings count for all that share them.
        """
        for ended in [key for key in self._open if key[0].is_closed()]:
            del self._open[ended]
        key = (asyncio.get_running_loop(), url)
        connections = self._open.get(key)
        if connections is None:
            connections = self._open[key] = Connections(url, settings, name=name)
            await connections.publisher.__aenter__()
        connections.clients += 1
        if connections.retirement is not None:
            connections.retirement.cancel()
            connections.retirement = None
        return connections

    def release(self, url: str, connections: Connections) -> None:
        """Give them back; the last one to do so starts the time after which they are closed."""
        connections.clients -= 1
        if connections.clients == 0:
            loop = asyncio.get_running_loop()
            connections.retirement = loop.call_later(self._idle_s, self._retire, (loop, url))

    def _retire(self, key: tuple[asyncio.AbstractEventLoop, str]) -> None:
        closing = key[0].create_task(self._open.pop(key).close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close_idle(self) -> None:
        """Close what nobody uses in this event loop, now: for who wants to leave nothing behind."""
        loop = asyncio.get_running_loop()
        for key, connections in list(self._open.items()):
            if key[0] is loop and connections.retirement is not None:
                connections.retirement.cancel()
                self._retire(key)
        await asyncio.gather(*(closing for closing in self._closing if closing.get_loop() is loop))

    def clients(self, url: str) -> int | None:
        """How many clients share the connections to a broker in this event loop; None if there are none."""
        connections = self._open.get((asyncio.get_running_loop(), url))
        return connections.clients if connections else None


#: What all clients use that say nothing else.
SHARED = Pool()
