"""Routes that ask a service over the broker: on shared connections, with its typed errors as their own answers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import HTTPException
from pydantic import BaseModel

from labs.errors import RpcError
from labs.messaging.client import RabbitMQClient
from labs.messaging.rpc import MALFORMED
from labs.systems.served import CONFLICT, NOT_FOUND, UNAVAILABLE
from labs.systems.system import ApiParts

_STATUS = {NOT_FOUND: 404, CONFLICT: 409, MALFORMED: 422, UNAVAILABLE: 503}
#: Seconds for a connection, and for a reply: the caller of the route waits meanwhile.
_CONNECT_TIMEOUT_S = 2.0
_CALL_TIMEOUT_S = 5.0


@contextlib.asynccontextmanager
async def connected(parts: ApiParts) -> AsyncIterator[RabbitMQClient]:
    """A client for the length of a block. Raises as `RabbitMQClient.connect` does, which is answered with 503."""
    client = parts.client()
    await client.connect(timeout_s=_CONNECT_TIMEOUT_S)
    try:
        yield client
    finally:
        await client.close()


async def ask(parts: ApiParts, queue: str, request: BaseModel) -> dict[str, Any]:
    """A service's answer.

    Raises:
        HTTPException: it answered with an error.
        BrokerError: it did not answer; 504 if it may have done what it was asked for, 503 if not.
    """
    async with connected(parts) as client:
        try:
            return await client.rpc_call(queue, request.model_dump(mode="json"), timeout_s=_CALL_TIMEOUT_S)
        except RpcError as error:
            status = _STATUS.get(error.code, 502)
            headers = {"Retry-After": "2"} if status == 503 else None
            raise HTTPException(status, error.message, headers=headers) from None
