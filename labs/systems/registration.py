"""Users with names may register: a row and the event that tells of it, committed together.

Nobody has to be registered to be somebody: who a request comes from is in its token.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, StringConstraints

from labs.messaging.message import now
from labs.store.database import Database
from labs.store.outbox import OUTBOX_HINT, OutboxMessage, put
from labs.systems.fields import example, text
from labs.systems.problem import documented
from labs.systems.records import Record
from labs.systems.system import ApiParts
from labs.systems.user import NamedUser

_EXAMPLE = {"name": "Ada Lovelace", "email": "ada@example.com"}
_OTHERWISE = "you have registered already, and otherwise"

_REGISTER = """
INSERT INTO registered_users (id, name, email, created_at)
VALUES (%(user_id)s, %(name)s, %(email)s, %(created_at)s) ON CONFLICT (id) DO NOTHING
"""
_REGISTERED = "SELECT id AS user_id, name, email, created_at FROM registered_users WHERE id = %s"


class RegisterRequest(BaseModel):
    """Who you are; your id is that of your token."""

    model_config = example(_EXAMPLE)

    name: Annotated[str, text(200)]
    email: Annotated[str, StringConstraints(max_length=320, pattern=r"^[!-?A-~]+@[!-?A-~]+$")]


class Registered(Record):
    """A user who has registered."""

    model_config = example({"userId": "user123", **_EXAMPLE, "createdAt": "2026-11-22T09:30:00.000000Z"})

    user_id: str
    name: str
    email: str
    created_at: datetime


Tells = Callable[[Registered], OutboxMessage]


async def register(database: Database, user: Registered, tells: Tells) -> Registered:
    """Commit a user with the event; whoever has registered before is what he was, and nothing is told again."""
    async with database.transaction() as db:
        if (await db.execute(_REGISTER, user.model_dump())).rowcount == 1:
            await put(db, tells(user))
            return user
        [row] = await (await db.execute(_REGISTERED, [user.user_id])).fetchall()
    return Registered(**row)


def registration_routes(parts: ApiParts, prefix: str, tells: Tells) -> APIRouter:
    """The route; `tells` makes the event."""
    router = APIRouter(prefix=prefix, tags=["users"])

    @router.post(
        "/users",
        status_code=201,
        summary="Register",
        responses=documented(401, 403, 409, 413, 415, 422, 429, 503, details={409: _OTHERWISE}),
    )
    async def post(request: RegisterRequest, user: Annotated[NamedUser, Depends(parts.named_requester)]) -> Registered:
        """Under the id that your token has. Nobody has to; whoever does is welcomed. Harmless to repeat."""
        asked = Registered(user_id=user.id, name=request.name, email=request.email, created_at=now())
        registered = await register(parts.database, asked, tells)
        if (registered.name, registered.email) != (asked.name, asked.email):
            raise HTTPException(409, _OTHERWISE)
        parts.ringer.ring(OUTBOX_HINT)
        return registered

    return router
