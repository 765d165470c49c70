"""The user service: creates users, tells of them, and answers who they are. Its table is `peers_users`."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from labs import failpoints
from labs.errors import RpcError
from labs.messaging.message import now
from labs.store.database import Database
from labs.store.hints import Ringer
from labs.store.outbox import INSERT_COLUMNS, INSERT_VALUES, OUTBOX_HINT
from labs.systems.outgoing import outgoing
from labs.systems.peers import topology as names
from labs.systems.peers.messages import USER_CREATED, CreateUser, ProfileRequest, UserCreated, UserProfile
from labs.systems.served import CONFLICT, NOT_FOUND, served
from labs.systems.system import ServiceParts

# The user and the event that tells of him are committed together, or neither is.
_CREATE = f"""
WITH created AS (
    INSERT INTO peers_users (user_id, username, email, profile)
    VALUES (%(user_id)s, %(username)s, %(email)s, %(profile)s) ON CONFLICT DO NOTHING RETURNING user_id),
message AS (INSERT INTO outbox ({INSERT_COLUMNS}) SELECT {INSERT_VALUES} FROM created)
SELECT user_id FROM created
"""  # noqa: S608 - constants only
_GET = "SELECT user_id, username, email, profile FROM peers_users WHERE user_id = %s"


class Users:
    """The handlers of the user service."""

    def __init__(self, database: Database, ringer: Ringer) -> None:
        self._database = database
        self._ringer = ringer

    async def create(self, request: CreateUser) -> UserProfile:
        """Create a user; harmless to repeat. The event is published by the relay, after the commit and at least once.

        Raises:
            RpcError: `conflict`, if the user exists with other data, or another one has the name.
        """
        event = UserCreated(user_id=request.user_id, username=request.username, email=request.email, timestamp=now())
        message = outgoing(
            USER_CREATED.message(event),
            exchange=names.USER_EVENTS,
            routing_key=names.USER_CREATED_KEY,
            consumers=(names.MATCHING_QUEUE,),
        )
        user = {**request.model_dump(exclude={"profile_data"}), "profile": Jsonb(request.profile_data)}
        async with self._database.transaction() as db:
            created = await (await db.execute(_CREATE, {**user, **message.parameters()})).fetchone()
            found = await (await db.execute(_GET, [request.user_id])).fetchone()
        if found is None:
            raise RpcError(CONFLICT, "another user has this name")
        if created is None and found != {**user, "profile": request.profile_data}:
            raise RpcError(CONFLICT, "this user exists already, with other data")
        self._ringer.ring(OUTBOX_HINT)
        return _profile(found)

    async def profile(self, request: ProfileRequest) -> UserProfile:
        """What others may know of a user.

        Raises:
            RpcError: `not-found`.
        """
        found = await self._database.row(_GET, request.user_id)
        failpoints.reach("peers.profile")
        if found is None:
            raise RpcError(NOT_FOUND, f"there is no user {request.user_id}")
        return _profile(found)


def _profile(row: dict[str, object]) -> UserProfile:
    return UserProfile.model_validate({**row, "profile_data": row["profile"]})


async def serve(parts: ServiceParts) -> None:
    """Answer calls."""
    users = Users(parts.database, parts.ringer)
    await parts.client.setup_rpc_server(names.USER_CREATE, served(CreateUser, users.create))
    await parts.client.setup_rpc_server(names.PROFILE_GET, served(ProfileRequest, users.profile))
