"""Chapter 16: three services in processes of their own, what their tables hold, and what participants see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from labs.display import Picture, Snapshot, draw, snapshot
from labs.errors import LabError, RpcError
from labs.messaging.client import Pool, RabbitMQClient
from labs.notebook.letters import until
from labs.notebook.session import Notebook
from labs.processes import wait_until
from labs.systems.peers import topology as names
from labs.systems.peers.following import updates
from labs.systems.peers.messages import CodeUpdated, JoinSession

SERVICES = ("peers-user", "peers-matching", "peers-collaboration")
_TIMEOUT_S = 30.0


def picture(lab: Notebook, *words: str, title: str) -> Picture:
    """The topology now, of what has one of these words in its name: the lab's other systems are left out."""

    def shown(name: str) -> bool:
        return any(word in name for word in words)

    found = snapshot(lab.vhost)
    exchanges = tuple(each for each in found.exchanges if shown(each.name))
    queues = tuple(each for each in found.queues if shown(each.name))
    bindings = tuple(each for each in found.bindings if shown(each.source) and shown(each.destination))
    return draw(Snapshot(exchanges, queues, bindings), title=title)


async def create(client: RabbitMQClient, *user_ids: int) -> None:
    """Have the user service create users."""
    for user_id in user_ids:
        user = {"user_id": user_id, "username": f"user{user_id}", "email": f"user{user_id}@example.org"}
        await client.rpc_call(names.USER_CREATE, {**user, "profile_data": {"topics": ["graphs"]}})


async def ids(lab: Notebook, table: str) -> list[int]:
    """The users that a service's table knows."""
    async with lab.database as database, database.connection() as db:
        rows = await (await db.execute(f"SELECT user_id FROM {table} ORDER BY user_id")).fetchall()  # noqa: S608 - ours
    return [row["user_id"] for row in rows]


async def known_to_matching(lab: Notebook, count: int) -> list[int]:
    """The users with a matching profile, when there are so many."""

    async def enough() -> list[int] | None:
        found = await ids(lab, "peers_matching")
        return found if len(found) >= count else None

    return await until(enough, what=f"{count} matching profiles")


async def handled(lab: Notebook, count: int) -> int:
    """How many events the matching service has handled, when there are so many."""

    async def enough() -> int | None:
        async with lab.database as database, database.connection() as db:
            query = "SELECT count(*) AS n FROM inbox WHERE consumer = %s"
            row = await (await db.execute(query, [names.MATCHING_QUEUE])).fetchone()
        return int(row["n"]) if row and row["n"] >= count else None

    return await until(enough, what=f"{count} handled events")


async def outcome(call: Awaitable[Mapping[str, Any]]) -> str:
    """What a call gave, or its error, in a few words; and nothing that differs from run to run."""
    try:
        return str(dict(await call))
    except RpcError as error:
        return f"RpcError, code {error.code!r}, message {error.message!r}"
    except LabError as error:
        return type(error).__name__


def stop(lab: Notebook, service: str) -> None:
    """End a service in good order."""
    for child in lab.stack.of(service):
        child.terminate()


def kill(lab: Notebook, service: str) -> int:
    """SIGKILL; returns the exit code."""
    [child] = lab.stack.of(service)
    child.kill()
    return child.wait(timeout_s=1)


def wait_for_depth(lab: Notebook, queue: str, messages: int) -> int:
    """How many messages wait in a queue, when there are so many."""
    if not wait_until(lambda: lab.vhost.depth(queue).messages >= messages, timeout_s=_TIMEOUT_S):
        raise TimeoutError(f"{queue} never held {messages} messages")
    return lab.vhost.depth(queue).messages


@asynccontextmanager
async def participants(client: RabbitMQClient, *who: tuple[str, int]) -> AsyncIterator[dict[str, list[CodeUpdated]]]:
    """What each participant (session and user) sees, by name, for the length of a block."""
    leaving = asyncio.Event()
    seen: dict[str, list[CodeUpdated]] = {}
    listening = []
    for session_id, user_id in who:
        joining = JoinSession(session_id=session_id, user_id=user_id, client="notebook")
        await client.rpc_call(names.SESSION_JOIN, joining.model_dump())
        mine = seen[f"user {user_id} in {session_id}"] = []
        listening.append(asyncio.create_task(_collect(client, joining, leaving, mine)))
    try:
        yield seen
    finally:
        leaving.set()
        await asyncio.gather(*listening)


async def _collect(
    client: RabbitMQClient, joining: JoinSession, leaving: asyncio.Event, mine: list[CodeUpdated]
) -> None:
    async for update in updates(client, joining, until=leaving):
        mine.append(update)


async def write(client: RabbitMQClient, session_id: str, user_id: int, changes: int) -> None:
    """An author's changes, one after the other."""
    for sequence in range(1, changes + 1):
        await change(client, session_id, user_id, sequence)


async def change(client: RabbitMQClient, session_id: str, user_id: int, sequence: int) -> dict[str, Any]:
    """One change."""
    asked = {"session_id": session_id, "user_id": user_id, "sequence": sequence, "code_delta": f"+ line {sequence}"}
    return await client.rpc_call(names.SESSION_UPDATE, asked)


async def everybody_has(seen: Mapping[str, list[CodeUpdated]], count: int) -> None:
    """Wait until each participant has seen so many changes."""

    async def all_have() -> bool:
        return all(len(mine) >= count for mine in seen.values())

    await until(all_have, what=f"{count} changes for everybody")


def in_order(seen: list[CodeUpdated]) -> bool:
    """Whether each author's changes are numbered 1, 2, 3, ... without a gap."""
    by_author: dict[int, list[int]] = {}
    for update in seen:
        by_author.setdefault(update.user_id, []).append(update.sequence)
    return all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_author.values())


async def notify(url: str, pool: Pool) -> None:
    """Notify others as the integration guide does it: a client for one message."""
    client = RabbitMQClient(url, name="notifier", pool=pool)
    await client.connect()
    await client.publish_message(exchange="user.events", routing_key="user.renamed", message={"user_id": 1})
    await client.close()


async def notify_alone(url: str, pool: Pool) -> None:
    """The same, with connections that are closed with the client."""
    await notify(url, pool)
    await pool.close_idle()


async def timed_ms(url: str, client: RabbitMQClient, *, times: int) -> dict[str, list[float]]:
    """Milliseconds of a confirmed message, in three ways; in turn, so that a busy moment meets all."""
    shared, alone = Pool(), Pool()
    ways: dict[str, Callable[[], Awaitable[None]]] = {
        "a connection for each message": lambda: notify_alone(url, alone),
        "a client for each message, connections shared": lambda: notify(url, shared),
        "one client, kept open": lambda: client.publish_message("user.events", "user.renamed", {"user_id": 1}),
    }
    took_ms: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(times):
        for way, do in ways.items():
            began_s = time.perf_counter()
            await do()
            took_ms[way].append((time.perf_counter() - began_s) * 1000)
    await shared.close_idle()
    return took_ms
