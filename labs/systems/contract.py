"""What a system says over the broker: its messages, and the calls it answers. AsyncAPI's document is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from labs.messaging.message import Schema


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One kind of message that a system publishes.

    Args:
        schema: its type, its version and its body.
        exchange: of the system's topology.
        key: the routing key; what stands in braces, as in `session.{session_id}.code_updated`, differs by message.
    """

    schema: Schema[Any]
    exchange: str
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One kind of call that a system answers.

    Args:
        queue: where requests wait.
        request: the model of their bodies.
        reply: the model of the answers' bodies.
    """

    queue: str
    request: type[BaseModel]
    reply: type[BaseModel]
