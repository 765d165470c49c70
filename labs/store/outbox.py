"""Messages waiting to be published, and what became of them.

A message is inserted in the transaction of the fact it tells (`INSERT_COLUMNS`), so there is one if and
only if the fact was committed. Relays claim rows, commit, publish, and mark what was confirmed; a relay that
dies in between leaves its claim to run out, and the row is published again: at least once, order not kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from labs.store.database import Database, Db, Row

#: The hint that a transaction has left messages (`labs.store.hints`).
OUTBOX_HINT = "outbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxMessage:
    """A message to publish."""

    message_id: str
    exchange: str
    routing_key: str
    type: str
    version: int
    body: str
    occurred_at: datetime
    #: The queues whose consumers must record its effect before it is settled.
    consumers: tuple[str, ...]
    correlation_id: str | None = None
    traceparent: str | None = None

    def parameters(self) -> dict[str, Any]:
        """Values for `INSERT_VALUES`."""
        return {
            "o_message_id": self.message_id,
            "o_exchange": self.exchange,
            "o_routing_key": self.routing_key,
            "o_type": self.type,
            "o_version": self.version,
            "o_body": self.body,
            "o_correlation_id": self.correlation_id,
            "o_traceparent": self.traceparent,
            "o_occurred_at": self.occurred_at,
            "o_consumers": list(self.consumers),
        }


#: To be completed by `SELECT {INSERT_VALUES} FROM ...` inside the statement that makes the fact.
INSERT_COLUMNS = (
    "message_id, exchange, routing_key, type, version, body, correlation_id, traceparent, occurred_at, consumers"
)
INSERT_VALUES = (
    "%(o_message_id)s::uuid, %(o_exchange)s::text, %(o_routing_key)s::text, %(o_type)s::text, %(o_version)s::int, "
    "%(o_body)s::text, %(o_correlation_id)s::text, %(o_traceparent)s::text, %(o_occurred_at)s::timestamptz, "
    "%(o_consumers)s::text[]"
)

_PUT = f"INSERT INTO outbox ({INSERT_COLUMNS}) SELECT {INSERT_VALUES}"

# Materialized, here and below: as a plain subquery it may be run once for each row, and then take more than its limit.
_CLAIM = f"""
WITH free AS MATERIALIZED (
    SELECT id AS row_id FROM outbox
    WHERE published_at IS NULL AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE outbox SET claim_token = %(token)s, claimed_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
FROM free WHERE id = row_id
RETURNING id, {INSERT_COLUMNS}
"""  # noqa: S608 - constants only

_MARK = """
UPDATE outbox SET published_at = clock_timestamp(), publishes = publishes + 1, last_error = NULL
WHERE claim_token = %(token)s AND id = ANY(%(ids)s)
"""

_RELEASE = """
UPDATE outbox SET claimed_until = clock_timestamp() + make_interval(secs => %(delay_s)s), last_error = %(error)s
WHERE claim_token = %(token)s AND id = ANY(%(ids)s)
"""

# A published message whose effect is missing was lost after its confirm: its queue was purged or deleted.
# Each time it waits twice as long, since a long backlog looks just the same.
_SETTLE = """
UPDATE outbox SET settled_at = clock_timestamp()
WHERE id IN (
    SELECT o.id FROM outbox o
    WHERE o.published_at < clock_timestamp() - make_interval(secs => %(after_s)s) AND o.settled_at IS NULL
      AND NOT EXISTS (
        SELECT FROM unnest(o.consumers) AS c(name)
        LEFT JOIN inbox i ON i.consumer = c.name AND i.message_id = o.message_id WHERE i.consumer IS NULL)
    LIMIT 5000)
"""

_REARM = """
WITH lost AS MATERIALIZED (
    SELECT id AS row_id FROM outbox
    WHERE settled_at IS NULL
      AND published_at < clock_timestamp() - make_interval(secs => %(after_s)s * power(2, LEAST(publishes - 1, 12)))
      AND EXISTS (
        SELECT FROM unnest(consumers) AS c(name)
        LEFT JOIN inbox i ON i.consumer = c.name AND i.message_id = outbox.message_id WHERE i.consumer IS NULL)
    LIMIT 1000 FOR UPDATE OF outbox SKIP LOCKED)
UPDATE outbox SET published_at = NULL, claim_token = NULL, claimed_until = NULL FROM lost WHERE id = row_id
"""

_SWEEP = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox WHERE settled_at < clock_timestamp() - make_interval(secs => %(retention_s)s) LIMIT 5000)
"""
_SWEEP_INBOX = "DELETE FROM inbox WHERE at < clock_timestamp() - make_interval(secs => %(retention_s)s)"


async def put(db: Db, message: OutboxMessage) -> None:
    """Insert a message in the transaction of the fact it tells."""
    await db.execute(_PUT, message.parameters())


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that this relay may publish until its claim runs out."""

    id: int
    message: OutboxMessage


class Outbox:
    """What relays and the reconciler do with the rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, *, limit: int, lease_s: float) -> tuple[str, list[Claimed]]:
        """Claim up to `limit` unpublished rows, oldest first, for `lease_s` seconds; returns the claim's token too."""
        token = str(uuid.uuid4())
        async with self._database.connection() as db:
            cursor = await db.execute(_CLAIM, {"token": token, "lease_s": lease_s, "limit": limit})
            rows = await cursor.fetchall()
        return token, sorted((_claimed(row) for row in rows), key=lambda claimed: claimed.id)

    async def mark_published(self, token: str, ids: Sequence[int]) -> None:
        """Record the confirms; does nothing to rows that another relay has claimed since."""
        async with self._database.connection() as db:
            await db.execute(_MARK, {"token": token, "ids": list(ids)})

    async def release(self, token: str, ids: Sequence[int], *, error: str, delay_s: float) -> None:
        """Give rows back, to be claimed again after `delay_s` seconds."""
        async with self._database.connection() as db:
            await db.execute(_RELEASE, {"token": token, "ids": list(ids), "error": error, "delay_s": delay_s})

    async def reconcile(self, *, after_s: float) -> int:
        """Settle what had its effect; publish again what had none for too long. Returns how many again."""
        async with self._database.connection() as db:
            await db.execute(_SETTLE, {"after_s": after_s})
            cursor = await db.execute(_REARM, {"after_s": after_s})
            return cursor.rowcount

    async def sweep(self, *, retention_s: float, inbox_retention_s: float) -> None:
        """Delete what was settled long ago. Duplicates that are older than the inbox are not recognised."""
        async with self._database.connection() as db:
            await db.execute(_SWEEP, {"retention_s": retention_s})
            await db.execute(_SWEEP_INBOX, {"retention_s": inbox_retention_s})

    async def unpublished(self) -> int:
        """Rows that wait for a relay."""
        async with self._database.connection() as db:
            cursor = await db.execute("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")
            row = await cursor.fetchone()
        return int(row["n"]) if row else 0


def _claimed(row: Row) -> Claimed:
    fields = {name: row[name] for name in INSERT_COLUMNS.split(", ")}
    fields["message_id"] = str(fields["message_id"])
    fields["consumers"] = tuple(fields["consumers"])
    return Claimed(row["id"], OutboxMessage(**fields))
