"""Plain pika for Locust's users and their consumers, which run as greenlets: connections, messages, a consumer."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pika
from pika.exceptions import AMQPError

from loadtest.engine.plan import Plan

_TIMEOUT_S = 5.0
#: What every body begins with: when it was meant to go, and when it went.
_TIMES = struct.Struct("<qq")
#: After so long without a message, what is not yet acknowledged is.
_IDLE_S = 0.05


def connect(url: str, name: str) -> pika.BlockingConnection:
    """A connection whose owner may sleep between two messages for as long as it likes.

    Raises:
        AMQPError, OSError: there is no broker, or it refuses us.
    """
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 0
    parameters.socket_timeout = parameters.stack_timeout = _TIMEOUT_S
    parameters.client_properties = {"connection_name": name}
    return pika.BlockingConnection(parameters)


def words(error: Exception) -> str:
    """What an error says, in the broker's own words if it has some."""
    inner: Any = getattr(error, "reply_text", None)
    return str(inner or error or type(error).__name__)


def without_heartbeats(url: str) -> str:
    """The same for connections that others make of it, see `connect`."""
    return urlsplit(url)._replace(query="heartbeat=0").geturl()


def body(size: int, intended_ns: int, sent_ns: int) -> bytes:
    """A body of that many bytes, with its times at the start."""
    return _TIMES.pack(intended_ns, sent_ns).ljust(size, b".")


def times_of(received: bytes) -> tuple[int, int]:
    """When a body was meant to go, and when it went."""
    intended_ns, sent_ns = _TIMES.unpack_from(received)
    return intended_ns, sent_ns


def properties(plan: Plan, **further: Any) -> pika.BasicProperties:
    """Of a message of that plan."""
    return pika.BasicProperties(delivery_mode=2 if plan.persistent else 1, **further)


def declare_queue(channel: Any, name: str, plan: Plan) -> None:
    """A durable queue of the plan's type."""
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": plan.queue_type})


def consume(url: str, queue: str, plan: Plan, handle: Callable[[bytes], None]) -> None:
    """Hand over what arrives, for ever; acknowledged after that, `ack_every` messages at once.

    Raises:
        AMQPError, OSError: the connection is lost.
    """
    with connect(url, f"{queue} consumer") as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=plan.prefetch)
        arguments: dict[str, Any] = {"x-stream-offset": "first"} if plan.queue_type == "stream" else {}
        unacked, last = 0, 0
        for method, _, received in channel.consume(queue, arguments=arguments, inactivity_timeout=_IDLE_S):
            if method is not None:
                assert received is not None
                handle(received)
                unacked, last = unacked + 1, method.delivery_tag
            if unacked and (method is None or unacked >= plan.ack_every):
                channel.basic_ack(last, multiple=True)
                unacked = 0
    raise AMQPError("the broker cancelled the consumer: its queue is gone")
