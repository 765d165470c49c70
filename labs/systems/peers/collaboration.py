"""The collaboration service: who takes part in a session, and every change to all of them, in each author's order.

An author numbers his changes. One is published, and confirmed, under the lock of the author's row, and counted with the
commit after it: the next is not published before, whichever process gets it. A crash between the two, or a confirm that
did not come, publishes a change again with the same number, which a reader drops. The table is `peers_participants`.
"""

from __future__ import annotations

import hashlib

from labs import failpoints
from labs.errors import RpcError
from labs.messaging.client import RabbitMQClient
from labs.messaging.message import now
from labs.store.database import Database, Db, Row
from labs.systems.peers import topology as names
from labs.systems.peers.messages import CodeUpdated, JoinSession, OpenSession, Published, Session, UpdateCode
from labs.systems.served import CONFLICT, NOT_FOUND, served
from labs.systems.system import ServiceParts

_OPEN = """
INSERT INTO peers_participants (session_id, user_id)
SELECT %s, user_id FROM unnest(%s::int[]) AS given (user_id) ORDER BY user_id ON CONFLICT DO NOTHING
"""
_GET = "SELECT last_sequence, last_hash FROM peers_participants WHERE session_id = %s AND user_id = %s"
_COUNT = """
UPDATE peers_participants SET last_sequence = %s, last_hash = %s WHERE session_id = %s AND user_id = %s
"""


class Collaboration:
    """The handlers of the collaboration service."""

    def __init__(self, database: Database, client: RabbitMQClient) -> None:
        self._database = database
        self._client = client

    async def open(self, request: OpenSession) -> Session:
        """Let these users take part in a session; harmless to repeat."""
        async with self._database.transaction() as db:
            await db.execute(_OPEN, [request.session_id, request.user_ids])
        return Session(session_id=request.session_id)

    async def join(self, request: JoinSession) -> Session:
        """Make sure of the queue from which a participant's updates come, from now on; harmless to repeat.

        Raises:
            RpcError: `not-found`, also if the session is none of the user's.
        """
        async with self._database.connection() as db:
            row = await _participant(db, _GET, request.session_id, request.user_id)
        await self._client.declare(names.participant(request.session_id, request.user_id, request.client))
        return Session(
            session_id=request.session_id,
            queue=names.participant_queue(request.session_id, request.user_id, request.client),
            last_sequence=row["last_sequence"],
        )

    async def update(self, request: UpdateCode) -> Published:
        """Publish an author's next change; harmless to repeat.

        Raises:
            RpcError: `not-found`, also if the session is none of the user's; `conflict`, if it is not the next one.
            BrokerError: not known to be published; repeat the same.
        """
        digest = hashlib.sha256(request.code_delta.encode()).hexdigest()
        published = Published(session_id=request.session_id, sequence=request.sequence)
        async with self._database.transaction() as db:
            row = await _participant(db, f"{_GET} FOR UPDATE", request.session_id, request.user_id)
            if (request.sequence, digest) == (row["last_sequence"], row["last_hash"]):
                return published
            if request.sequence != row["last_sequence"] + 1:
                raise RpcError(CONFLICT, f"the next change of this author is number {row['last_sequence'] + 1}")
            await self.broadcast_code_change(request)
            failpoints.reach("peers.published")
            await db.execute(_COUNT, [request.sequence, digest, request.session_id, request.user_id])
        return published

    async def broadcast_code_change(self, request: UpdateCode) -> None:
        """Publish a change to whoever takes part; nobody there is no error."""
        event = CodeUpdated(**request.model_dump(), timestamp=now())
        await self._client.publish_message(
            exchange=names.COLLABORATION_EVENTS,
            routing_key=names.update_key(request.session_id),
            message=event.model_dump(mode="json"),
        )


async def _participant(db: Db, query: str, session_id: str, user_id: int) -> Row:
    row = await (await db.execute(query, [session_id, user_id])).fetchone()
    if row is None:
        raise RpcError(NOT_FOUND, f"there is no session {session_id}")
    return row


async def serve(parts: ServiceParts) -> None:
    """Answer calls."""
    collaboration = Collaboration(parts.database, parts.client)
    await parts.client.setup_rpc_server(names.SESSION_OPEN, served(OpenSession, collaboration.open))
    await parts.client.setup_rpc_server(names.SESSION_JOIN, served(JoinSession, collaboration.join))
    await parts.client.setup_rpc_server(names.SESSION_UPDATE, served(UpdateCode, collaboration.update))
