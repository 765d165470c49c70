"""Comments, on anybody's documents; each is committed with the event that tells of it."""

from __future__ import annotations

import uuid

from labs.messaging.message import now
from labs.store.database import Database
from labs.store.listing import Listing, Place
from labs.store.outbox import put
from labs.store.requests import Repeatable
from labs.systems.documents.documents import read
from labs.systems.documents.events import event
from labs.systems.documents.messages import CommentAdded, CommentData
from labs.systems.documents.records import Comment

_COMMENT = """
INSERT INTO document_comments (id, document_id, text, created_by, created_at)
VALUES (%(comment_id)s, %(document_id)s, %(text)s, %(created_by)s, %(created_at)s)
"""
_COLUMNS = "id AS comment_id, text, created_by, created_at FROM document_comments"
_COMMENTED = f"SELECT {_COLUMNS} WHERE id = %s"
_LISTING = Listing(Comment, _COLUMNS, owner="document_id", at="created_at", id="id")


class Comments:
    """The table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, document_id: str, text: str, request: Repeatable) -> Comment:
        """Commit a comment on anybody's document with its event, or find what the same request has made.

        Raises:
            DocumentNotFound: there is no such document.
            IdempotencyConflict: the key belongs to another request.
        """
        comment = Comment(comment_id=str(uuid.uuid4()), text=text, created_by=request.user_id, created_at=now())
        async with self._database.transaction() as db:
            document = await read(db, document_id)
            before = await request.made_before(db, comment.comment_id)
            if before is not None:
                [row] = await (await db.execute(_COMMENTED, [before])).fetchall()
                return Comment(**row)
            await db.execute(_COMMENT, {**comment.model_dump(), "document_id": document_id})
            data = CommentData(
                commentId=comment.comment_id,
                documentId=document_id,
                title=document.title,
                documentCreatedBy=document.created_by,
                createdBy=comment.created_by,
            )
            await put(db, event(CommentAdded(timestamp=comment.created_at, data=data)))
        return comment

    async def newest(self, *, document_id: str, limit: int, before: Place | None) -> list[Comment]:
        """A document's comments, newest first, from `before`.

        Raises:
            DocumentNotFound: there is no such document.
        """
        async with self._database.connection() as db:
            await read(db, document_id)
            return await _LISTING.newest(db, document_id, limit=limit, before=before)
