"""The matching service: a profile for each new user, and a peer for each who wants one. Its table is `peers_matching`.

Who users are it asks the user service, and sessions it has the collaboration service open, over the broker.
"""

from __future__ import annotations

import asyncio
import uuid

from labs.errors import RpcError
from labs.messaging.client import RabbitMQClient, Received
from labs.messaging.delivery import Delivery
from labs.store.database import Database, Db, Row
from labs.systems.once import Once
from labs.systems.peers import topology as names
from labs.systems.peers.messages import USER_EVENTS, FindMatch, Match, UserCreated, UserProfile
from labs.systems.served import NOT_FOUND, served
from labs.systems.system import ServiceParts

#: Those who wait longest are looked at; each costs a call.
_CANDIDATES = 20
_CALL_TIMEOUT_S = 2.0

_NEW = "INSERT INTO peers_matching (user_id) VALUES (%s) ON CONFLICT DO NOTHING"
_LEAVE = """
UPDATE peers_matching SET session_id = NULL, peer_id = NULL WHERE user_id = %(user_id)s AND session_id = %(leave)s
"""
_GET = "SELECT session_id, peer_id FROM peers_matching WHERE user_id = %s"
_WAIT = """
UPDATE peers_matching SET waiting_since = COALESCE(waiting_since, clock_timestamp())
WHERE user_id = %s AND session_id IS NULL
"""
_WAITING = """
SELECT user_id FROM peers_matching WHERE waiting_since IS NOT NULL AND user_id <> %s ORDER BY waiting_since LIMIT %s
"""
_LOCK = (
    "SELECT user_id, session_id, waiting_since FROM peers_matching WHERE user_id = ANY(%s) ORDER BY user_id FOR UPDATE"
)
_PAIR = "UPDATE peers_matching SET session_id = %s, peer_id = %s, waiting_since = NULL WHERE user_id = %s"


class Matching:
    """The handlers of the matching service."""

    def __init__(self, database: Database, client: RabbitMQClient) -> None:
        self._database = database
        self._client = client
        self.once = Once(database, queue=names.MATCHING_QUEUE, effect=_new_profile)

    async def handle_new_user(self, message: Received) -> None:
        """A matching profile for a new user; one, however often the event comes."""
        await self.once.handle(message.delivery)

    async def find(self, request: FindMatch) -> Match:
        """A user's match, made now if somebody who waits shares a topic; harmless to repeat.

        Raises:
            RpcError: `not-found`, if the user has no matching profile (yet).
            BrokerError: another service does not answer.
        """
        async with self._database.transaction() as db:
            await db.execute(_LEAVE, request.model_dump())
            own = await (await db.execute(_GET, [request.user_id])).fetchone()
        if own is None:
            raise RpcError(NOT_FOUND, f"user {request.user_id} has no matching profile yet")
        if own["session_id"] is None:
            own = await self._pair(request.user_id)
        return Match(status="waiting") if own is None else await self._matched(request.user_id, own)

    async def _pair(self, user_id: int) -> Row | None:
        """Match a user with the best of those who wait, or let him wait."""
        rows = await self._database.rows(_WAITING, user_id, _CANDIDATES)
        me, *others = await asyncio.gather(
            *(self._profile(each) for each in (user_id, *(row["user_id"] for row in rows)))
        )
        for other in sorted((each for each in others if each), key=lambda each: -_shared(me, each)):
            if _shared(me, other) and await self._claim(user_id, other.user_id):
                break
        async with self._database.transaction() as db:
            await db.execute(_WAIT, [user_id])
            own = await (await db.execute(_GET, [user_id])).fetchone()
        return own if own and own["session_id"] else None

    async def _claim(self, user_id: int, other_id: int) -> bool:
        """Make two users a pair, unless one of them was faster."""
        async with self._database.transaction() as db:
            rows = await (await db.execute(_LOCK, [[user_id, other_id]])).fetchall()
            free = {row["user_id"]: row["session_id"] is None for row in rows}
            waits = any(row["waiting_since"] for row in rows if row["user_id"] == other_id)
            if not (free.get(user_id) and free.get(other_id) and waits):
                return False
            session_id = str(uuid.uuid4())
            await db.execute(_PAIR, [session_id, other_id, user_id])
            await db.execute(_PAIR, [session_id, user_id, other_id])
        return True

    async def _matched(self, user_id: int, own: Row) -> Match:
        """The match, its session open: if that fails, the next one who asks opens it."""
        session_id, peer_id = str(own["session_id"]), own["peer_id"]
        opening = {"session_id": session_id, "user_ids": [user_id, peer_id]}
        await self._client.rpc_call(names.SESSION_OPEN, opening, timeout_s=_CALL_TIMEOUT_S)
        return Match(status="matched", session_id=session_id, peer=await self._profile(peer_id))

    async def _profile(self, user_id: int) -> UserProfile | None:
        try:
            found = await self._client.rpc_call(names.PROFILE_GET, {"user_id": user_id}, timeout_s=_CALL_TIMEOUT_S)
        except RpcError as error:
            if error.code == NOT_FOUND:
                return None
            raise
        return UserProfile.model_validate(found)


async def _new_profile(db: Db, delivery: Delivery) -> None:
    assert isinstance(delivery.body, UserCreated)  # the queue's schemas parse nothing else
    await db.execute(_NEW, [delivery.body.user_id])


def _shared(one: UserProfile | None, other: UserProfile) -> int:
    """How many topics two users share."""
    return len(_topics(one) & _topics(other)) if one else 0


def _topics(profile: UserProfile) -> set[str]:
    topics = profile.profile_data.get("topics")
    return {topic for topic in topics if isinstance(topic, str)} if isinstance(topics, list) else set()


async def serve(parts: ServiceParts) -> None:
    """Consume users' events, and answer calls."""
    matching = Matching(parts.database, parts.client)
    await parts.client.consume_messages(
        queue=names.MATCHING_QUEUE,
        callback=matching.handle_new_user,
        exchange=names.USER_EVENTS,
        routing_key=names.USER_CREATED_KEY,
        schemas=USER_EVENTS,
        on_dead_letter=matching.once.give_up,
    )
    await parts.client.setup_rpc_server(names.MATCH_FIND, served(FindMatch, matching.find))
