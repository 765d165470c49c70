"""What users with names are told: a table that consumers of events write, and the route that shows it.

One notification for each event and no more, however often it comes. They are sorted by when things happened, so that
events which come in another order read in the right one.
"""

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends

from labs.store.database import Database, Db
from labs.store.listing import Listing, Place
from labs.systems.fields import example
from labs.systems.paging import Cursor, Limit, Page, page
from labs.systems.problem import documented
from labs.systems.records import Record
from labs.systems.system import ApiParts
from labs.systems.user import NamedUser

_EXAMPLE = {
    "id": "4f1c0a52-7d0e-4a53-9d7a-2b1f7f0c9a11",
    "type": "document.created",
    "text": "Your document 'API Guide' has been created",
    "about": "9d7a4f1c-7d0e-4a53-9d7a-2b1f7f0c9a12",
    "occurredAt": "2026-11-22T09:30:00.000000Z",
}
_ADD = """
INSERT INTO notifications (message_id, user_id, type, text, about, occurred_at)
VALUES (%(id)s, %(user_id)s, %(type)s, %(text)s, %(about)s, %(occurred_at)s) ON CONFLICT (message_id) DO NOTHING
"""


class Notification(Record):
    """One thing that a user is told; its id is that of the event's message."""

    id: str
    type: str
    text: str
    about: str
    occurred_at: datetime


class NotificationPage(Page):
    """Notifications, newest first by when it happened."""

    model_config = example({"notifications": [_EXAMPLE]})

    notifications: list[Notification]


_LISTING = Listing(
    Notification,
    select="message_id::text AS id, type, text, about, occurred_at FROM notifications",
    owner="user_id",
    at="occurred_at",
    id="message_id::text",
)


async def add(db: Db, notification: Notification, *, user_id: str) -> None:
    """Tell a user something, in the transaction that records the event's effect."""
    await db.execute(_ADD, {**notification.model_dump(), "user_id": user_id})


class Notifications:
    """The table, to be read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, *, user_id: str, limit: int, before: Place | None = None) -> list[Notification]:
        """A user's own, newest first, from `before`."""
        async with self._database.connection() as db:
            return await _LISTING.newest(db, user_id, limit=limit, before=before)


def notification_routes(parts: ApiParts, prefix: str) -> APIRouter:
    """The route that shows a user his own."""
    router = APIRouter(prefix=prefix, tags=["notifications"])
    notifications = Notifications(parts.database)

    @router.get(
        "/notifications",
        summary="What you are told, newest first",
        response_model_exclude_none=True,
        responses=documented(401, 403, 422, 503),
    )
    async def told(
        user: Annotated[NamedUser, Depends(parts.named_reader)], limit: Limit = 20, cursor: Cursor = None
    ) -> NotificationPage:
        newest = partial(notifications.newest, user_id=user.id)
        found, after = await page(newest, _place, limit=limit, cursor=cursor)
        return NotificationPage(notifications=found, nextCursor=after)

    return router


def _place(notification: Notification) -> Place:
    return notification.occurred_at, notification.id
