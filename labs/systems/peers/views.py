"""What the HTTP routes take: models and examples for the OpenAPI document; they give what the services answer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from labs.systems.peers.messages import ChangeNumber, CodeDelta, Email, SessionId, Username
from labs.systems.storable import Storable


class UserRequest(BaseModel):
    """Who you are to other peers."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"username": "ada", "email": "ada@example.org", "profile_data": {"topics": ["graphs"]}}
        },
    )

    username: Username
    email: Email
    profile_data: Storable = Field(default_factory=dict)


class MatchRequest(BaseModel):
    """A wish for a peer."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {}})

    leave: SessionId | None = Field(None, description="The session that you leave for it.")


class UpdateRequest(BaseModel):
    """A change of yours."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"sequence": 1, "code_delta": "+ print()"}})

    sequence: ChangeNumber
    code_delta: CodeDelta
