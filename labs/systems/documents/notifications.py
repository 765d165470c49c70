"""Tells users what happened to what is theirs; an order that events come in by chance can't be seen."""

from __future__ import annotations

from typing import cast

from labs.messaging.delivery import Delivery
from labs.store.database import Db
from labs.systems.documents.messages import CommentAdded, DocumentCreated, DocumentUpdated, Event, UserRegistered, about
from labs.systems.notifications import Notification, add


async def notify(db: Db, delivery: Delivery) -> None:
    """The effect of an event on notifications."""
    event = cast(Event, delivery.body)  # the queue's schemas parse nothing else
    user_id, text = _told(event)
    if user_id is not None:
        notification = Notification(
            id=delivery.message.message_id,
            type=event.type,
            text=text,
            about=about(event),
            occurred_at=event.timestamp,
        )
        await add(db, notification, user_id=user_id)


def _told(event: Event) -> tuple[str | None, str]:
    """Who is told what; nobody is told that he has commented on his own document."""
    match event:
        case DocumentCreated(data=data):
            return data.createdBy, f"Your document '{data.title}' has been created"
        case DocumentUpdated(data=data):
            return data.createdBy, f"Your document '{data.title}' has been updated"
        case CommentAdded(data=data):
            text = f"{data.createdBy} has commented on your document '{data.title}'"
            return (None if data.createdBy == data.documentCreatedBy else data.documentCreatedBy), text
        case UserRegistered(data=data):
            return data.userId, f"Welcome, {data.name}"
