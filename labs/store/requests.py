"""Repeating a request safely where it makes no job: its Idempotency-Key finds what it made the first time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel

from labs.errors import IdempotencyConflict
from labs.store.database import Db

_FIRST = """
INSERT INTO requests (user_id, idempotency_key, request_hash, made)
VALUES (%(user_id)s, %(key)s, %(hash)s, %(made)s) ON CONFLICT (user_id, idempotency_key) DO NOTHING
"""
_MADE = """
SELECT made FROM requests WHERE user_id = %(user_id)s AND idempotency_key = %(key)s AND request_hash = %(hash)s
"""


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request, and what makes it recognisable.

    Args:
        user_id: whose keys are meant: another user's are none of his.
        key: as it came; None makes every repetition a new request.
        what: is asked for, since a key belongs to one request.
        body: of the request.
    """

    user_id: str
    key: str | None
    what: str
    body: BaseModel

    async def made_before(self, db: Db, made: str) -> str | None:
        """In the transaction that makes `made`: None if this is the first such request, else what the first has made.

        Two at once wait for one another here, and if the first one rolls back the second is the first.

        Raises:
            IdempotencyConflict: the key belongs to another request.
        """
        if self.key is None:
            return None
        content = f"{self.what}\n{self.body.model_dump_json()}"
        parameters = {
            "user_id": self.user_id,
            "key": self.key,
            "hash": hashlib.sha256(content.encode()).hexdigest(),
            "made": made,
        }
        if (await db.execute(_FIRST, parameters)).rowcount == 1:
            return None
        row = await (await db.execute(_MADE, parameters)).fetchone()
        if row is None:
            raise IdempotencyConflict("this Idempotency-Key was used for another request: use a new one")
        return str(row["made"])
