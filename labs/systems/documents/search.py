"""What events do to the search index.

An event names a version and holds no content, so the consumer reads that version; where search has a database of its
own, it would ask the API.
"""

from __future__ import annotations

from labs.errors import PermanentError
from labs.messaging.delivery import Delivery
from labs.store.database import Db
from labs.systems.documents.messages import DocumentCreated, DocumentUpdated, UpdatedData
from labs.systems.search import Indexed, put

_CONTENT = "SELECT content FROM document_versions WHERE document_id = %s AND version = %s"


async def index(db: Db, delivery: Delivery) -> None:
    """The effect of an event on the index; only those of documents have one.

    Raises:
        PermanentError: the version that it names was never there.
    """
    event = delivery.body
    if not isinstance(event, DocumentCreated | DocumentUpdated):
        return
    data = event.data
    version = data.version if isinstance(data, UpdatedData) else 1
    row = await (await db.execute(_CONTENT, [data.documentId, version])).fetchone()
    if row is None:
        raise PermanentError("the document has no such version")
    document = Indexed(
        document_id=data.documentId, version=version, title=data.title, tags=list(data.tags), created_by=data.createdBy
    )
    await put(db, document, content=row["content"])
