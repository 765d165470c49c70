"""What the services of the peers system say to each other; field names are those of its integration guide."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from labs.messaging.message import Payload, Schema, Schemas
from labs.systems.storable import Storable

EXAMPLE_SESSION = "0b0e7f0e-3c55-4c4e-9a44-5f0d8a0f6f1e"
_ADA: JsonDict = {"user_id": 1, "username": "ada", "profile_data": {"topics": ["graphs"]}}

UserId = Annotated[int, Field(gt=0, le=2**31 - 1)]
#: A part of routing keys and queue names: nothing that means something there.
SessionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ClientId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
ChangeNumber = Annotated[int, Field(gt=0, le=2**53)]
#: PostgreSQL's text can hold no NUL.
_Text = StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00]*$")
Username = Annotated[str, _Text, Field(max_length=64)]
Email = Annotated[str, _Text, Field(max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")]
CodeDelta = Annotated[str, Field(max_length=64_000)]


# Events


class UserCreated(Payload):
    """A user has been created."""

    user_id: UserId
    username: str
    email: str
    timestamp: datetime


class CodeUpdated(Payload):
    """An author has changed the code of a session; each author's changes are numbered 1, 2, 3, ..."""

    session_id: SessionId
    user_id: UserId
    code_delta: str
    timestamp: datetime
    sequence: ChangeNumber


USER_CREATED = Schema("user.created", 1, UserCreated)
USER_EVENTS = Schemas(USER_CREATED)

#: Its type is its routing key, as of everything that a `RabbitMQClient` publishes.
CODE_UPDATED = Schema("session.{session_id}.code_updated", 1, CodeUpdated)


# Requests and replies


class CreateUser(Payload):
    """To the user service: a new user."""

    user_id: UserId
    username: Username
    email: Email
    profile_data: Storable = Field(default_factory=dict)


class ProfileRequest(Payload):
    """To the user service: who is that?"""

    user_id: UserId


class UserProfile(Payload):
    """What others may know of a user."""

    model_config = ConfigDict(json_schema_extra={"example": _ADA})

    user_id: int
    username: str
    profile_data: dict[str, Any]


class FindMatch(Payload):
    """To the matching service: find a peer for a user, who leaves that session."""

    user_id: UserId
    leave: SessionId | None = None


class Match(Payload):
    """A session with a peer, or the word that there is none yet."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"status": "matched", "session_id": EXAMPLE_SESSION, "peer": _ADA}}
    )

    status: Literal["waiting", "matched"]
    session_id: str | None = None
    peer: UserProfile | None = None


class OpenSession(Payload):
    """To the collaboration service: a session of these users."""

    session_id: SessionId
    user_ids: list[UserId] = Field(min_length=1, max_length=10)


class JoinSession(Payload):
    """To the collaboration service: a participant wants to be told of updates."""

    session_id: SessionId
    user_id: UserId
    client: ClientId


class Session(Payload):
    """Where a participant's updates come from, and how many of his own there have been."""

    session_id: str
    queue: str | None = None
    last_sequence: int = 0


class UpdateCode(Payload):
    """To the collaboration service: an author's change."""

    session_id: SessionId
    user_id: UserId
    sequence: ChangeNumber
    code_delta: CodeDelta


class Published(Payload):
    """The change is with every participant's queue."""

    model_config = ConfigDict(json_schema_extra={"example": {"session_id": EXAMPLE_SESSION, "sequence": 1}})

    session_id: str
    sequence: int
