"""Calls between services, typed at both ends: what isn't of the request's model never reaches a handler.

A service that is asked answers with a model, or with an `RpcError` whose code says what kind of error it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from labs.errors import BrokerError, DependencyDown, RpcError
from labs.messaging.message import explain
from labs.messaging.rpc import MALFORMED, Handler

Request = TypeVar("Request", bound=BaseModel)

#: Codes of errors, besides `malformed` and `internal`.
NOT_FOUND = "not-found"
CONFLICT = "conflict"
UNAVAILABLE = "unavailable"


def served(model: type[Request], handler: Callable[[Request], Awaitable[BaseModel]]) -> Handler:
    """The handler of an RPC server, from one that takes and gives models.

    What a handler needs and doesn't find (the database, another service) is the caller's error `unavailable`: the call
    may be repeated.
    """

    async def handle(request: dict[str, Any]) -> Mapping[str, Any]:
        try:
            parsed = model.model_validate(request)
        except ValidationError as error:
            raise RpcError(MALFORMED, explain(error)) from None
        try:
            reply = await handler(parsed)
        except (DependencyDown, BrokerError) as error:
            raise RpcError(UNAVAILABLE, "a part of the service is away: try again") from error
        return reply.model_dump(mode="json")

    return handle
