"""The peers' services in the test's own process, on a real broker and a real database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from labs.errors import RpcError
from labs.messaging.client import Pool, RabbitMQClient
from labs.messaging.publisher import Publisher
from labs.messaging.topology import declare
from labs.relay import Relay
from labs.settings import Settings, load_settings
from labs.store.database import Database
from labs.store.hints import Listener, Ringer
from labs.store.outbox import OUTBOX_HINT, Outbox
from labs.systems.peers import topology as names
from labs.systems.peers.following import updates
from labs.systems.peers.messages import CodeUpdated, JoinSession
from labs.systems.peers.system import PEERS
from labs.systems.system import ServiceParts
from tests.databases import rows

PROFILE = {"topics": ["graphs", "trees"]}


@dataclass
class Peers:
    """A broker, a database, and a client that calls as the API does."""

    url: str
    database: Database
    database_url: str
    pool: Pool = field(default_factory=lambda: Pool(idle_s=60))

    @property
    def settings(self) -> Settings:
        return load_settings(retry_delays_ms=(60, 120, 240), publish_timeout_s=20.0, grace_s=5.0)

    def client(self, name: str = "test") -> RabbitMQClient:
        return RabbitMQClient(self.url, name=name, settings=self.settings, pool=self.pool)

    @contextlib.asynccontextmanager
    async def serving(self, *services: str) -> AsyncIterator[None]:
        """Run services for the length of a block."""
        async with contextlib.AsyncExitStack() as stack:
            for service in services:
                client = await stack.enter_async_context(self.client(service))
                ringer = Ringer(self.database)
                parts = ServiceParts(settings=self.settings, database=self.database, ringer=ringer, client=client)
                await PEERS.services[service](parts)
            yield

    @contextlib.asynccontextmanager
    async def relaying(self) -> AsyncIterator[None]:
        """Run a relay for the length of a block."""
        topology = names.topology(self.settings)
        publisher = Publisher(self.url, name="relay", prepare=lambda channel: declare(channel, topology))
        listener = Listener(self.database_url, OUTBOX_HINT)
        async with publisher, listener:
            relay = Relay(Outbox(self.database), publisher, listener, batch=100, lease_s=5.0, reconcile_after_s=60.0)
            task = asyncio.create_task(relay.run())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def ask(self, queue: str, **request: Any) -> dict[str, Any]:
        """Call a service, with a client of its own as the integration guide has it."""
        async with self.client() as client:
            return await client.rpc_call(queue, request, timeout_s=30.0)

    async def code(self, queue: str, **request: Any) -> str:
        """The code of the error that a service answers with."""
        try:
            await self.ask(queue, **request)
        except RpcError as error:
            return error.code
        raise AssertionError("this should have been refused")

    async def create(self, user_id: int, **more: Any) -> dict[str, Any]:
        user = {"user_id": user_id, "username": f"user{user_id}", "email": f"user{user_id}@example.org"}
        return await self.ask(names.USER_CREATE, **{**user, "profile_data": PROFILE, **more})

    async def open(self, session_id: str, *user_ids: int) -> None:
        await self.ask(names.SESSION_OPEN, session_id=session_id, user_ids=list(user_ids))

    async def update(self, session_id: str, user_id: int, sequence: int, delta: str = "+x") -> dict[str, Any]:
        given = {"session_id": session_id, "user_id": user_id, "sequence": sequence, "code_delta": delta}
        return await self.ask(names.SESSION_UPDATE, **given)

    @contextlib.asynccontextmanager
    async def participant(self, session_id: str, user_id: int, client: str = "1") -> AsyncIterator[list[CodeUpdated]]:
        """The changes that a participant sees, from the beginning of the block on."""
        seen: list[CodeUpdated] = []
        joining = JoinSession(session_id=session_id, user_id=user_id, client=client)
        until = asyncio.Event()
        async with self.client() as broker:
            await broker.rpc_call(names.SESSION_JOIN, joining.model_dump(), timeout_s=30.0)

            async def follow() -> None:
                async for update in updates(broker, joining, until=until):
                    seen.append(update)

            task = asyncio.create_task(follow())
            try:
                yield seen
            finally:
                until.set()
                await task

    async def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        return await rows(self.database, query, *parameters)
