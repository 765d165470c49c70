"""The documents: each change is a new version, committed with the event that tells of it.

Everybody who is signed in may read every document and comment on it; its owner alone may change it. Versions stay, so
that a late event can still be handled as what it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from labs.errors import DocumentNotFound, NotOwner, VersionConflict
from labs.messaging.message import now
from labs.store.database import Database, Db
from labs.store.listing import Listing, Place
from labs.store.outbox import put
from labs.store.requests import Repeatable
from labs.systems.documents.events import event
from labs.systems.documents.messages import DocumentCreated, DocumentData, DocumentUpdated, UpdatedData
from labs.systems.documents.records import Document, Listed

_COLUMNS = "d.id AS document_id, d.created_by, d.version, d.created_at, d.updated_at, v.title, v.tags"
_FROM = "FROM documents d JOIN document_versions v ON v.document_id = d.id AND v.version = d.version"
_READ = f"SELECT {_COLUMNS}, v.content {_FROM} WHERE d.id = %s"
_LISTING = Listing(Listed, f"{_COLUMNS} {_FROM}", owner="d.created_by", at="d.created_at", id="d.id")
_CREATE = """
INSERT INTO documents (id, created_by, version, created_at, updated_at)
VALUES (%(document_id)s, %(created_by)s, 1, %(created_at)s, %(created_at)s)
"""
_VERSION = """
INSERT INTO document_versions (document_id, version, title, content, tags)
VALUES (%(document_id)s, %(version)s, %(title)s, %(content)s, %(tags)s)
"""
_NEWER = "UPDATE documents SET version = %(version)s, updated_at = %(updated_at)s WHERE id = %(document_id)s"


class Documents:
    """The table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, request: Repeatable, *, title: str, content: str, tags: list[str]) -> Document:
        """Commit a document with its event, or find what the same request with this key has made.

        Raises:
            IdempotencyConflict: the key belongs to another request.
            DatabaseUnavailable: not known to be committed; repeat with the same key.
        """
        moment = now()
        document = Document(
            document_id=str(uuid.uuid4()),
            version=1,
            title=title,
            tags=tags,
            created_by=request.user_id,
            created_at=moment,
            updated_at=moment,
            content=content,
        )
        async with self._database.transaction() as db:
            before = await request.made_before(db, document.document_id)
            if before is not None:
                return await read(db, before)
            await db.execute(_CREATE, document.model_dump())
            await db.execute(_VERSION, document.model_dump())
            await put(db, event(DocumentCreated(timestamp=moment, data=DocumentData(**_told(document)))))
        return document

    async def change(
        self, document_id: str, changes: dict[str, Any], *, user_id: str, expected: Collection[int] | None = None
    ) -> Document:
        """Commit a new version with its event; what changes nothing makes none, so repeating it is harmless.

        Args:
            document_id: which one.
            changes: any of title, content and tags.
            user_id: who asks.
            expected: versions that it may be based on; by default any.

        Raises:
            DocumentNotFound: there is no such document.
            NotOwner: it is another user's.
            VersionConflict: it has another version.
        """
        async with self._database.transaction() as db:
            # The lock alone first: a join would be of what was there before the wait for it.
            await db.execute("SELECT FROM documents WHERE id = %s FOR UPDATE", [document_id])
            document = await read(db, document_id)
            if document.created_by != user_id:
                raise NotOwner("only its owner may change a document")
            if expected is not None and document.version not in expected:
                raise VersionConflict(f"document {document_id} has version {document.version}: read it again")
            if document.model_copy(update=changes) == document:
                return document
            changed = document.model_copy(update={**changes, "version": document.version + 1, "updated_at": now()})
            await db.execute(_VERSION, changed.model_dump())
            await db.execute(_NEWER, changed.model_dump())
            data = UpdatedData(**_told(changed), version=changed.version)
            await put(db, event(DocumentUpdated(timestamp=changed.updated_at, data=data)))
        return changed

    async def get(self, document_id: str) -> Document:
        """Anybody's document.

        Raises:
            DocumentNotFound: there is no such document.
        """
        async with self._database.connection() as db:
            return await read(db, document_id)

    async def newest(self, *, user_id: str, limit: int, before: Place | None) -> list[Listed]:
        """A user's own documents, newest first, from `before` (the place of the last one of the page before)."""
        async with self._database.connection() as db:
            return await _LISTING.newest(db, user_id, limit=limit, before=before)


async def read(db: Db, document_id: str) -> Document:
    """A document within a transaction; raises as `Documents.get` does."""
    row = await (await db.execute(_READ, [document_id])).fetchone()
    if row is None:
        raise DocumentNotFound(f"there is no document {document_id}")
    return Document(**row)


def _told(document: Document) -> dict[str, Any]:
    """What every event tells of a document."""
    return {
        "documentId": document.document_id,
        "title": document.title,
        "createdBy": document.created_by,
        "tags": tuple(document.tags),
    }
