"""How much happened on which day: one row for each event, so that neither order nor repetition can change a count."""

from __future__ import annotations

from datetime import UTC
from typing import cast

from labs.messaging.delivery import Delivery
from labs.store.database import Database, Db
from labs.systems.documents.messages import Event
from labs.systems.documents.records import Day

_COUNT = "INSERT INTO document_activity (message_id, type, day) VALUES (%s, %s, %s) ON CONFLICT (message_id) DO NOTHING"
_DAYS = """
SELECT day,
    count(*) FILTER (WHERE type = 'document.created') AS documents_created,
    count(*) FILTER (WHERE type = 'document.updated') AS documents_updated,
    count(*) FILTER (WHERE type = 'comment.added') AS comments_added,
    count(*) FILTER (WHERE type = 'user.registered') AS users_registered
FROM document_activity WHERE day > (clock_timestamp() AT TIME ZONE 'UTC')::date - %s
GROUP BY day ORDER BY day DESC
"""


async def count(db: Db, delivery: Delivery) -> None:
    """The effect of an event on analytics."""
    event = cast(Event, delivery.body)  # the queue's schemas parse nothing else
    await db.execute(_COUNT, [delivery.message.message_id, event.type, event.timestamp.astimezone(UTC).date()])


class Activity:
    """The counts, to be read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def days(self, last: int) -> list[Day]:
        """The last so many days, today first; those on which nothing happened are left out."""
        return [Day(**row) for row in await self._database.rows(_DAYS, last)]
