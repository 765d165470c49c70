"""What a call looks like on the wire: a JSON object there, and a JSON object or a typed error back. JSON only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from pika.spec import BasicProperties

from labs.errors import MessageError, RpcError
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


def encode(body: Mapping[str, Any], *, max_bytes: int) -> bytes:
    """Write a JSON object.

    Raises:
        MessageError: it holds what JSON can't say, or is too large; the text holds no values.
    """
    try:
        encoded = json.dumps(dict(body), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError("this is not an object that JSON can say") from error
    _check_size(encoded, max_bytes)
    return encoded


def encode_error(error: RpcError) -> bytes:
    return json.dumps({"code": error.code[:_CODE_LENGTH], "message": error.message[:_MESSAGE_LENGTH]}).encode()


def decode(body: bytes, *, max_bytes: int) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        MessageError: too large, not JSON, or not an object; the text holds no values.
    """
    _check_size(body, max_bytes)
    try:
        decoded = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MessageError("the body is not JSON") from None
    if not isinstance(decoded, dict):
        raise MessageError("the body is not a JSON object")
    return decoded


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


def _check_size(body: bytes, max_bytes: int) -> None:
    if len(body) > max_bytes:
        raise MessageError(f"the body has {len(body)} bytes, more than {max_bytes}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON, though Python would read them
