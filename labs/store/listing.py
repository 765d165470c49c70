"""Reads rows newest first, page by page: a place in the list stays the same while new rows arrive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel

from labs.store.database import Db

Item = TypeVar("Item", bound=BaseModel)
#: When a row was made, and its id.
Place = tuple[datetime, str]


@dataclass(frozen=True)
class Listing(Generic[Item]):
    """A list of some owner's rows; all names are this program's own.

    Args:
        model: of a row.
        select: what and from where.
        owner: column of whose rows they are.
        at: column of when a row was made.
        id: column or expression of its id as text.
    """

    model: type[Item]
    select: str
    owner: str
    at: str
    id: str

    async def newest(self, db: Db, owner: str, *, limit: int, before: Place | None) -> list[Item]:
        """The newest rows before a place, or of all."""
        at, id_ = before or (None, None)
        query = f"""
            SELECT {self.select} WHERE {self.owner} = %(owner)s
                AND (%(at)s::timestamptz IS NULL OR ({self.at}, {self.id}) < (%(at)s, %(id)s))
            ORDER BY {self.at} DESC, {self.id} DESC LIMIT %(limit)s"""
        cursor = await db.execute(query, {"owner": owner, "limit": limit, "at": at, "id": id_})
        return [self.model(**row) for row in await cursor.fetchall()]
