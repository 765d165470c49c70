"""Chapter 16: a handler whose callers always know what is wrong, and never more than that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from labs.broker import VirtualHost
from labs.errors import RpcError
from labs.messaging.client import RabbitMQClient

_QUEUE = "exercise.profile.get"

Handler = Callable[[dict[str, Any]], Awaitable[Mapping[str, Any]]]


async def check_profile_handler(vhost: VirtualHost, handler: Handler) -> str:
    """Serves the handler on the real broker: a known user, an unknown one, and requests that name none."""
    async with RabbitMQClient(vhost.amqp_url, name="exercise") as client:
        await client.setup_rpc_server(_QUEUE, handler)
        known = await _answer(client, {"user_id": 7})
        if known != {"user_id": 7, "username": "ada", "profile_data": {"topics": ["graphs"]}}:
            return f"Not yet: asked for user 7, it says {known}."
        unknown = await _answer(client, {"user_id": 8})
        if unknown == "internal":
            return "Not yet: for an unknown user the caller learns 'internal', as for any bug. What is the code to be?"
        if unknown != "not-found":
            return f"Not yet: for an unknown user it answers {unknown}, not with an RpcError of the code 'not-found'."
        for request in ({}, {"user_id": "seven"}, {"user_id": None}):
            told = await _answer(client, request)
            if told != "malformed":
                return f"Not yet: to {request} it answers {told}; a request that can't be one is 'malformed'."
    return "Solved: the caller can tell a wrong question from a wrong id, and neither from a bug."


async def _answer(client: RabbitMQClient, request: dict[str, Any]) -> Mapping[str, Any] | str:
    """The reply, or the code of the error."""
    try:
        return await client.rpc_call(_QUEUE, request, timeout_s=10.0)
    except RpcError as error:
        return error.code
