"""The outbox rows of the events, each to be written in the transaction of the fact that it tells."""

from __future__ import annotations

from labs.store.outbox import OutboxMessage
from labs.systems.documents import messages
from labs.systems.documents.topology import EXCHANGE, QUEUES
from labs.systems.outgoing import outgoing
from labs.systems.registration import Registered
from labs.telemetry import new_traceparent

_SCHEMAS = {schema.name: schema for schema in messages.EVENTS}


def registered(user: Registered) -> OutboxMessage:
    """The event of a user who has registered."""
    data = messages.UserData(userId=user.user_id, name=user.name, email=user.email)
    return event(messages.UserRegistered(timestamp=user.created_at, data=data))


def event(body: messages.Event) -> OutboxMessage:
    """The event that tells of a fact, for all consumers."""
    message = _SCHEMAS[body.type].message(
        body,
        correlation_id=messages.about(body),
        traceparent=new_traceparent(),
        occurred_at=body.timestamp,
    )
    # A fanout exchange looks at no key; people who look at messages do.
    return outgoing(message, exchange=EXCHANGE, routing_key=body.type, consumers=QUEUES)
