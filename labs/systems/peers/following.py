"""A participant's view of a session: every change of it and of no other, in each author's order, none twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import structlog
from pydantic import ValidationError

from labs.errors import DependencyDown, RpcError
from labs.messaging.client import RabbitMQClient
from labs.systems.peers import topology as names
from labs.systems.peers.messages import CodeUpdated, JoinSession
from labs.systems.served import UNAVAILABLE

log = structlog.get_logger()


async def updates(client: RabbitMQClient, joining: JoinSession, *, until: asyncio.Event) -> AsyncGenerator[CodeUpdated]:
    """The changes that come for a participant, until an event is set.

    He joins again with each new connection: a queue that has gone with the broker, or by itself, is there again. A
    change that comes once more (published or delivered twice) has a number that was seen, and is dropped. While the
    service is away, or what it needs, he tries again.

    Raises:
        RpcError: the session is none of his.
    """
    seen: dict[int, int] = {}

    async def join() -> None:
        try:
            await client.rpc_call(names.SESSION_JOIN, joining.model_dump())
        except RpcError as error:
            if error.code != UNAVAILABLE:
                raise
            raise DependencyDown(error.message) from error

    queue = names.participant_queue(joining.session_id, joining.user_id, joining.client)
    async with contextlib.aclosing(client.follow(queue, prepare=join, until=until)) as received:
        async for message in received:
            try:
                update = CodeUpdated.model_validate(message)
            except ValidationError:
                log.warning("dropped what is no change", queue=queue, message_id=message.message_id)
                continue
            if update.sequence > seen.get(update.user_id, 0):
                seen[update.user_id] = update.sequence
                yield update
