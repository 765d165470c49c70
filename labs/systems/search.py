"""A full-text index: a table that events alone write, with the version of each document that it holds.

An older version than the index holds, or the same one, changes nothing: events may come late, in any order and any
number of times.
"""

from __future__ import annotations

from labs.store.database import Database, Db
from labs.systems.records import Record

_INDEX = """
INSERT INTO document_search (document_id, version, title, tags, created_by, words)
VALUES (%(document_id)s, %(version)s, %(title)s, %(tags)s, %(created_by)s,
    setweight(to_tsvector('english', %(title)s), 'A') || setweight(to_tsvector('english', %(words)s), 'B')
    || to_tsvector('english', %(content)s))
ON CONFLICT (document_id) DO UPDATE SET
    version = EXCLUDED.version, title = EXCLUDED.title, tags = EXCLUDED.tags, words = EXCLUDED.words
WHERE document_search.version < EXCLUDED.version
"""
_FIND = """
SELECT document_id, version, title, tags, created_by
FROM document_search, websearch_to_tsquery('english', %(query)s) AS query
WHERE words @@ query ORDER BY ts_rank(words, query) DESC, document_id LIMIT %(limit)s
"""


class Indexed(Record):
    """A document as the index has it, which may be older than the document itself."""

    document_id: str
    version: int
    title: str
    tags: list[str]
    created_by: str


async def put(db: Db, document: Indexed, *, content: str) -> None:
    """Have a version found by its title, its tags and its content, in this order; an older one changes nothing."""
    await db.execute(_INDEX, {**document.model_dump(), "words": " ".join(document.tags), "content": content})


class Search:
    """The index, to be read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, query: str, *, limit: int) -> list[Indexed]:
        """Documents that match a query as people write them (words, "a phrase", -without, or), best first."""
        async with self._database.connection() as db:
            cursor = await db.execute(_FIND, {"query": query, "limit": limit})
            return [Indexed(**row) for row in await cursor.fetchall()]
