"""Which effects have happened: the row that makes a consumer idempotent is written in the effect's own transaction."""

from __future__ import annotations

from labs.store.database import Db

#: Changes one row if the effect is new: consumer, message_id, outcome.
RECORD = """
INSERT INTO inbox (consumer, message_id, outcome) VALUES (%s, %s, %s)
ON CONFLICT (consumer, message_id) DO UPDATE SET outcome = EXCLUDED.outcome, at = clock_timestamp()
WHERE inbox.outcome = 'dead'
"""


async def record_effect(db: Db, *, consumer: str, message_id: str) -> bool:
    """Record that `consumer` has the effect of a message; False if it had it already: then do nothing.

    A message given up earlier counts as new when an operator has sent it back.
    """
    cursor = await db.execute(RECORD, [consumer, message_id, "done"])
    return cursor.rowcount == 1


async def record_given_up(db: Db, *, consumer: str, message_id: str) -> None:
    """Record that a message went to the dead-letter queue: nobody should publish it again."""
    await db.execute(RECORD, [consumer, message_id, "dead"])


async def has_effect(db: Db, *, consumer: str, message_id: str) -> bool:
    """Whether the effect has happened; for effects outside the database, to be asked before them."""
    cursor = await db.execute(
        "SELECT 1 FROM inbox WHERE consumer = %s AND message_id = %s AND outcome = 'done'", [consumer, message_id]
    )
    return await cursor.fetchone() is not None
