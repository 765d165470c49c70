"""Which effects have happened: the row that makes a consumer idempotent is written in the effect's own transaction."""

from __future__ import annotations

from collections.abc import Iterable

from labs.store.database import Db

_ANEW = """
ON CONFLICT (consumer, message_id) DO UPDATE SET outcome = EXCLUDED.outcome, at = clock_timestamp()
WHERE inbox.outcome = 'dead'
"""
_RECORD = f"INSERT INTO inbox (consumer, message_id, outcome) VALUES (%s, %s, %s) {_ANEW}"  # noqa: S608 - constants only

#: Records the effects of different messages, in an order that keeps two of these from waiting for each other.
RECORD_ALL = f"""
INSERT INTO inbox (consumer, message_id, outcome)
SELECT %(consumer)s, message_id, 'done' FROM unnest(%(message_ids)s::uuid[]) AS given (message_id) ORDER BY message_id
{_ANEW} RETURNING message_id
"""  # noqa: S608 - constants only


async def record_effect(db: Db, *, consumer: str, message_id: str) -> bool:
    """Record that `consumer` has the effect of a message; False if it had it already: then do nothing.

    A message given up earlier counts as new when an operator has sent it back.
    """
    cursor = await db.execute(_RECORD, [consumer, message_id, "done"])
    return cursor.rowcount == 1


async def record_effects(db: Db, *, consumer: str, message_ids: Iterable[str]) -> set[str]:
    """The same for many messages at once; returns those whose effect is new."""
    cursor = await db.execute(RECORD_ALL, {"consumer": consumer, "message_ids": sorted(set(message_ids))})
    return {str(row["message_id"]) for row in await cursor.fetchall()}


async def record_given_up(db: Db, *, consumer: str, message_id: str) -> None:
    """Record that a message went to the dead-letter queue: nobody should publish it again."""
    await db.execute(_RECORD, [consumer, message_id, "dead"])


async def has_effect(db: Db, *, consumer: str, message_id: str) -> bool:
    """Whether the effect has happened; for effects outside the database, to be asked before them."""
    cursor = await db.execute(
        "SELECT 1 FROM inbox WHERE consumer = %s AND message_id = %s AND outcome = 'done'", [consumer, message_id]
    )
    return await cursor.fetchone() is not None
