"""What the tables hold, as the HTTP routes show it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from labs.store.listing import Place
from labs.systems.fields import example
from labs.systems.records import Record

EXAMPLE_ID = "4f1c0a52-7d0e-4a53-9d7a-2b1f7f0c9a11"
_TIME = "2026-11-22T09:30:00.000000Z"
WRITTEN: dict[str, Any] = {"title": "API Guide", "content": "REST API best practices...", "tags": ["api", "guide"]}
INDEXED = {"documentId": EXAMPLE_ID, "version": 1, "title": "API Guide", "tags": ["api"], "createdBy": "user123"}
LISTED = {**INDEXED, "createdAt": _TIME, "updatedAt": _TIME}
COMMENT = {"commentId": EXAMPLE_ID, "text": "Well said.", "createdBy": "user456", "createdAt": _TIME}
DAY = {"day": "2026-11-22", "documentsCreated": 3, "documentsUpdated": 5, "commentsAdded": 2, "usersRegistered": 1}


class Listed(Record):
    """A document without its content."""

    document_id: str
    version: int
    title: str
    tags: list[str]
    created_by: str
    created_at: datetime
    updated_at: datetime


class Document(Listed):
    """The newest version of a document."""

    model_config = example(LISTED | WRITTEN)

    content: str


class Comment(Record):
    """A comment on a document."""

    model_config = example(COMMENT)

    comment_id: str
    text: str
    created_by: str
    created_at: datetime


class Day(Record):
    """What happened on a day, in UTC."""

    day: date
    documents_created: int
    documents_updated: int
    comments_added: int
    users_registered: int


def place(item: Listed | Comment) -> Place:
    """Where it is in its list."""
    return item.created_at, item.document_id if isinstance(item, Listed) else item.comment_id
