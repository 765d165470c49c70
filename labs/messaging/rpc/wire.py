"""What a call looks like on the wire: a JSON object there, and a JSON object or a typed error back. JSON only."""

from __future__ import annotations

import json
from typing import Any

from pika.spec import BasicProperties

from labs.errors import MessageError, RpcError
from labs.messaging.objects import decode
from labs.messaging.topology import Arguments, Queue, Topology

#: The pseudo queue of RabbitMQ's direct reply-to: a reply goes straight to the channel that sent the request.
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"

_CONTENT_TYPE = "application/json"
_REQUEST, _REPLY, _ERROR = "rpc.request", "rpc.reply", "rpc.error"

#: Codes of errors that no handler raises.
MALFORMED = "malformed"
INTERNAL = "internal"
BAD_REPLY = "bad-reply"

#: A queue without a server goes away after this time: a restart is bridged, a longer absence is told at once.
_IDLE_MS = 60_000
#: Bounds the requests of strangers, which may have no expiration of their own.
_LONGEST_WAIT_MS = 300_000

_CODE_LENGTH = 80
_MESSAGE_LENGTH = 500


def request_queue(name: str) -> Topology:
    """The queue of RPC servers.

    Classic, since a request is worth no more than its caller's patience: replicas would cost latency and outlive it.
    Durable and shared, since an exclusive queue has one server and dies with its connection, requests included, and
    RabbitMQ 4.3 refuses transient queues that are shared.
    """
    arguments: Arguments = {"x-queue-type": "classic", "x-expires": _IDLE_MS, "x-message-ttl": _LONGEST_WAIT_MS}
    return Topology(queues=(Queue(name, arguments),))


def request_properties(correlation_id: str, *, expires_s: float) -> BasicProperties:
    """Properties of a request that the broker drops when its caller has given up waiting."""
    return BasicProperties(
        content_type=_CONTENT_TYPE,
        type=_REQUEST,
        correlation_id=correlation_id,
        reply_to=DIRECT_REPLY_TO,
        expiration=str(max(1, int(expires_s * 1000))),
    )


def reply_properties(correlation_id: str | None) -> BasicProperties:
    return BasicProperties(content_type=_CONTENT_TYPE, type=_REPLY, correlation_id=correlation_id)


def error_properties(correlation_id: str | None) -> BasicProperties:
    return BasicProperties(content_type=_CONTENT_TYPE, type=_ERROR, correlation_id=correlation_id)


def encode_error(error: RpcError) -> bytes:
    return json.dumps({"code": error.code[:_CODE_LENGTH], "message": error.message[:_MESSAGE_LENGTH]}).encode()


def decode_reply(properties: BasicProperties, body: bytes, *, max_bytes: int) -> dict[str, Any]:
    """Read a reply.

    Raises:
        RpcError: it is an error, or can't be read (code `bad-reply`).
    """
    try:
        decoded = decode(body, max_bytes=max_bytes)
    except MessageError as error:
        raise RpcError(BAD_REPLY, f"the reply can't be read: {error}") from None
    if properties.type != _ERROR:
        return decoded
    code, message = str(decoded.get("code", INTERNAL)), str(decoded.get("message", ""))
    raise RpcError(code[:_CODE_LENGTH], message[:_MESSAGE_LENGTH])
