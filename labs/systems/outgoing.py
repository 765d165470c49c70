"""Turns a message into the outbox row that is committed with the fact it tells."""

from __future__ import annotations

from labs.messaging.message import Message
from labs.store.outbox import OutboxMessage


def outgoing(message: Message, *, exchange: str, routing_key: str, consumers: tuple[str, ...]) -> OutboxMessage:
    """The outbox row of a message, written by whoever commits the fact it tells."""
    return OutboxMessage(
        message_id=message.message_id,
        exchange=exchange,
        routing_key=routing_key,
        type=message.type,
        version=message.version,
        body=message.body.decode(),
        occurred_at=message.occurred_at,
        consumers=consumers,
        correlation_id=message.correlation_id,
        traceparent=message.traceparent,
    )
