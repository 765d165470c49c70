"""What the parts of the state machine stand on: the statements of one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labs.store.database import Database, Db, Row
from labs.store.statements import JobTable, Statements


class Part:
    """A part of what can be done with the jobs of one table."""

    def __init__(self, database: Database, table: JobTable) -> None:
        self._database = database
        self._table = table
        self._sql = Statements(table)


async def one(db: Db, query: str, parameters: Mapping[str, Any]) -> Row | None:
    """The first row that a query finds."""
    cursor = await db.execute(query, parameters)
    return await cursor.fetchone()
