"""The events of the document system; the body on the wire is that of its design document, `{type, timestamp, data}`.

The envelope says two of these again in AMQP's own words, `type` and the header `occurred-at`, so that a consumer can
tell what it has before it parses anything. What it adds rides beside the body: the `message_id` by which duplicates
are known, the schema's version, the attempt. The correlation id is the document's, or that of the user who registered.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from labs.messaging.message import Payload, Schema, Schemas


class DocumentData(Payload):
    """A document, without its content, which would travel to three queues where one needs it."""

    documentId: str = Field(min_length=1, max_length=255)
    title: str
    createdBy: str
    tags: tuple[str, ...]


class UpdatedData(DocumentData):
    """The same, and which version of it is meant."""

    version: int = Field(ge=2)


class CommentData(Payload):
    """A comment, and the document that it is on."""

    commentId: str
    documentId: str = Field(min_length=1, max_length=255)
    title: str
    documentCreatedBy: str
    createdBy: str


class UserData(Payload):
    """A user."""

    userId: str
    name: str
    email: str


class _Event(Payload):
    type: str
    timestamp: datetime


class DocumentCreated(_Event):
    """There is a document: its version 1."""

    type: Literal["document.created"] = "document.created"
    data: DocumentData


class DocumentUpdated(_Event):
    """A document has a newer version; a consumer may have seen one that is newer still."""

    type: Literal["document.updated"] = "document.updated"
    data: UpdatedData


class CommentAdded(_Event):
    """Somebody has commented on a document."""

    type: Literal["comment.added"] = "comment.added"
    data: CommentData


class UserRegistered(_Event):
    """There is a user."""

    type: Literal["user.registered"] = "user.registered"
    data: UserData


Event = DocumentCreated | DocumentUpdated | CommentAdded | UserRegistered

CREATED = Schema("document.created", 1, DocumentCreated)
UPDATED = Schema("document.updated", 1, DocumentUpdated)
COMMENTED = Schema("comment.added", 1, CommentAdded)
REGISTERED = Schema("user.registered", 1, UserRegistered)

EVENTS = Schemas(CREATED, UPDATED, COMMENTED, REGISTERED)


def about(event: Event) -> str:
    """The id of what an event is about: a document, or a user."""
    return event.data.userId if isinstance(event, UserRegistered) else event.data.documentId
