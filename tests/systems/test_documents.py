"""Events of documents come late, twice and in any order; what each consumer makes of them is right all the same."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from labs.errors import PermanentError
from labs.messaging.delivery import Delivery
from labs.messaging.message import Message
from labs.store.database import Database
from labs.store.requests import Repeatable
from labs.systems.documents.analytics import Activity
from labs.systems.documents.comments import Comments
from labs.systems.documents.documents import Documents
from labs.systems.documents.messages import EVENTS
from labs.systems.documents.records import Day
from labs.systems.documents.topology import QUEUES
from labs.systems.documents.views import CommentRequest, CreateRequest
from labs.systems.documents.worker import EFFECTS
from labs.systems.notifications import Notifications
from labs.systems.once import Once
from labs.systems.search import Search
from tests.databases import count, rows
from tests.systems.deliveries import delivery

ADA = "ada"


async def create(database: Database, title: str = "Draft", *, tags: list[str] | None = None) -> str:
    """A document of Ada's."""
    body = CreateRequest(title=title, content="first words", tags=tags or [])
    request = Repeatable(ADA, None, "create", body)
    return (await Documents(database).create(request, **body.model_dump())).document_id


async def history(database: Database) -> str:
    """A document that was changed three times and commented on: five events."""
    documents, document_id = Documents(database), await create(database)
    for version in (2, 3, 4):
        await documents.change(document_id, {"title": f"Version {version}"}, user_id=ADA)
    comment = Repeatable("grace", None, "comment", CommentRequest(text="Well said."))
    await Comments(database).create(document_id, "Well said.", comment)
    return document_id


async def events(database: Database) -> list[Message]:
    """All that wait in the outbox, oldest first."""
    found = await rows(database, "SELECT * FROM outbox ORDER BY id")
    return [
        Message(
            type=row["type"],
            version=row["version"],
            body=row["body"].encode(),
            message_id=str(row["message_id"]),
            occurred_at=row["occurred_at"],
            correlation_id=row["correlation_id"],
        )
        for row in found
    ]


def delivered(message: Message, queue: str) -> Delivery:
    return delivery(message, EVENTS.parse(message), queue=queue)


def consumer(database: Database, queue: str) -> Once:
    """As a worker has it."""
    return Once(database, queue=queue, effect=EFFECTS[queue])


async def handle(database: Database, *messages: Message) -> None:
    """Deliver messages to all consumers, one after the other."""
    for message, queue in itertools.product(messages, QUEUES):
        await consumer(database, queue).handle(delivered(message, queue))


async def assert_right(database: Database, document_id: str) -> None:
    """Everything is as if each event had come once and in order."""
    index = Search(database)
    [found] = await index.find("version", limit=10)
    assert (found.document_id, found.version, found.title) == (document_id, 4, "Version 4")
    assert await index.find("draft", limit=10) == []
    told = await Notifications(database).newest(user_id=ADA, limit=10)
    assert [notification.text for notification in told] == [
        "grace has commented on your document 'Version 4'",
        "Your document 'Version 4' has been updated",
        "Your document 'Version 3' has been updated",
        "Your document 'Version 2' has been updated",
        "Your document 'Draft' has been created",
    ]
    assert [(day.documents_created, day.documents_updated, day.comments_added) for day in await days(database)] == [
        (1, 3, 1)
    ]


async def days(database: Database) -> list[Day]:
    return await Activity(database).days(2)


@pytest.mark.parametrize("order", ["in order", "in reverse", "each thrice in reverse", "shuffled and repeated"])
async def test_order_and_repetition_change_nothing(database: Database, order: str) -> None:
    document_id = await history(database)
    in_order = await events(database)
    assert len(in_order) == 5
    shuffled = in_order * 4
    random.Random(4).shuffle(shuffled)
    orders = {
        "in order": in_order,
        "in reverse": in_order[::-1],
        "each thrice in reverse": [message for message in in_order[::-1] for _ in range(3)],
        "shuffled and repeated": shuffled,
    }
    await handle(database, *orders[order])
    await assert_right(database, document_id)


async def test_nor_does_all_at_once(database: Database) -> None:
    document_id = await history(database)
    messages = (await events(database)) * 3
    random.Random(5).shuffle(messages)
    # Given two workers, each with all events in hand several times,
    workers = {queue: (consumer(database, queue), consumer(database, queue)) for queue in QUEUES}
    await asyncio.gather(
        *(
            one.handle(delivered(message, queue))
            for message in messages
            for queue, both in workers.items()
            for one in both
        )
    )
    await assert_right(database, document_id)


async def test_an_old_event_whose_duplicate_nobody_remembers_does_not_overwrite_a_newer_one(database: Database) -> None:
    document_id = await history(database)
    messages = await events(database)
    await handle(database, *messages)
    # Given an inbox that has been swept,
    async with database.connection() as db:
        await db.execute("DELETE FROM inbox")
    # when all come again, the version alone holds them off.
    await handle(database, *messages)
    await assert_right(database, document_id)


async def test_a_version_that_never_was_is_given_up_at_once(database: Database) -> None:
    await create(database)
    [message] = await events(database)
    async with database.connection() as db:
        await db.execute("DELETE FROM document_versions")
    queue = QUEUES[1]
    with pytest.raises(PermanentError, match="no such version"):
        await consumer(database, queue).handle(delivered(message, queue))
    assert await count(database, "inbox") == 0


async def test_changes_at_once_each_become_a_version(database: Database) -> None:
    documents, document_id = Documents(database), await create(database)
    await asyncio.gather(*(documents.change(document_id, {"title": str(number)}, user_id=ADA) for number in range(20)))
    assert (await documents.get(document_id)).version == 21
    versions = [EVENTS.parse(message).data for message in (await events(database))[1:]]  # type: ignore[attr-defined]
    assert sorted(data.version for data in versions) == list(range(2, 22))
    # Each event tells of the version that it names.
    titles = await rows(database, "SELECT version, title FROM document_versions WHERE version > 1 ORDER BY version")
    assert {row["version"]: row["title"] for row in titles} == {data.version: data.title for data in versions}


async def test_a_fact_that_is_rolled_back_tells_nothing(database: Database) -> None:
    document_id = await create(database)
    async with database.connection() as db:
        await db.execute("ALTER TABLE outbox ADD CONSTRAINT full_up CHECK (type <> 'document.updated')")
    try:
        with pytest.raises(Exception, match="full_up"):
            await Documents(database).change(document_id, {"title": "Another"}, user_id=ADA)
    finally:
        async with database.connection() as db:
            await db.execute("ALTER TABLE outbox DROP CONSTRAINT full_up")
    assert (await Documents(database).get(document_id)).title == "Draft"
    assert await count(database, "document_versions") == 1
