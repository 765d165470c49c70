"""A bug in one consumer: its event waits 1, 2 and 4 s, is dead-lettered, and comes back when the bug is mended."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise

from labs.broker import VirtualHost
from labs.messaging.connection import Connection
from labs.messaging.consumer import Consumer
from labs.messaging.dead_letters import browse, redrive
from labs.messaging.delivery import ConsumerConfig, Delivery
from labs.messaging.publisher import Publisher
from labs.messaging.retry import RetryPolicy
from labs.messaging.topology import declare
from labs.settings import Settings
from labs.store.database import Database, Db
from labs.systems.documents.messages import EVENTS, DocumentCreated
from labs.systems.documents.search import index
from labs.systems.documents.topology import DEAD_LETTERS, EXCHANGE, QUEUES, SEARCH_QUEUE, topology
from labs.systems.documents.worker import EFFECTS
from labs.systems.notifications import Notifications
from labs.systems.once import Effect, Once
from labs.systems.search import Search
from tests.databases import count
from tests.systems.test_documents import ADA, create, events
from tests.waiting import eventually
from tests.workbench import running

#: As everybody has them.
SETTINGS = Settings.model_construct()
DLQ = DEAD_LETTERS.queue


async def buggy(db: Db, delivery: Delivery) -> None:
    """Somebody has forgotten that a document may have no tags."""
    event = delivery.body
    assert isinstance(event, DocumentCreated)
    assert len(event.data.title) / len(event.data.tags) > 0
    await index(db, delivery)


class Workers:
    """Consumers as a worker process runs them, and what each was given."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self.database = database
        self.given: list[tuple[str, Delivery]] = []

    @contextlib.asynccontextmanager
    async def running(self, publisher: Publisher, *, search: Effect) -> AsyncIterator[None]:
        """All three, for the length of a block."""
        async with contextlib.AsyncExitStack() as stack:
            for queue in QUEUES:
                effect = search if queue == SEARCH_QUEUE else EFFECTS[queue]
                await stack.enter_async_context(running(self._consumer(queue, effect, publisher)))
            yield

    def _consumer(self, queue: str, effect: Effect, publisher: Publisher) -> Consumer:
        once = Once(self.database, queue=queue, effect=effect)

        async def handle(delivery: Delivery) -> None:
            self.given.append((queue, delivery))
            await once.handle(delivery)

        config = ConsumerConfig(queue, topology(SETTINGS), EVENTS, RetryPolicy(SETTINGS.retry_delays_ms), prefetch=10)
        return Consumer(
            self.url, config, handle, publisher=publisher, name=f"worker {queue}", on_dead_letter=once.give_up
        )

    def deliveries(self, queue: str) -> list[Delivery]:
        return [delivery for name, delivery in self.given if name == queue]


async def test_a_poisoned_document_is_dead_lettered_in_one_queue_and_redriven_to_it_alone(
    database: Database, vhost: VirtualHost
) -> None:
    workers = Workers(vhost.amqp_url, database)
    poisoned, healthy = await create(database, "Bare"), await create(database, "Labelled", tags=["api"])
    async with Publisher(
        vhost.amqp_url, name="relay", prepare=lambda channel: declare(channel, topology(SETTINGS))
    ) as publisher:
        # Given an indexer with a bug, an event that meets it, and one that doesn't,
        async with workers.running(publisher, search=buggy):
            for message in await events(database):
                await publisher.publish(message, exchange=EXCHANGE, routing_key=message.type)
            # when it has failed four times, it lies in the dead-letter queue.
            await eventually(lambda: depth(vhost.amqp_url, 1))
        [letter] = await browse(vhost.amqp_url, DLQ)
        assert (letter.source, letter.attempts, letter.reason) == (SEARCH_QUEUE, 4, "unexpected ZeroDivisionError")
        assert letter.properties.correlation_id == poisoned
        # It waited 1, 2 and 4 s, and the other one for nothing.
        times = [datetime.fromisoformat(line.split(" ", maxsplit=1)[0]) for line in letter.trail]
        waits_s = [(later - sooner).total_seconds() for sooner, later in pairwise(times)]
        assert [wait >= least for wait, least in zip(waits_s, (1, 2, 4), strict=True)] == [True] * 3
        search = Search(database)
        assert [found.document_id for found in await search.find("labelled", limit=5)] == [healthy]
        assert await search.find("bare", limit=5) == []
        # The others have had the event, once.
        assert await effects(database) == (2, 2, 1)
        assert [len(workers.deliveries(queue)) for queue in QUEUES] == [2, 5, 2]

        # When the bug is mended and the letter sent back,
        workers.given.clear()
        async with workers.running(publisher, search=index):
            done = await redrive(vhost.amqp_url, DLQ, publisher=publisher)
            assert (len(done.matched), done.left) == (1, 0)
            await eventually(lambda: indexed(database, 2))
        # then it is found, and no other consumer has heard of it again.
        assert [found.document_id for found in await search.find("bare", limit=5)] == [poisoned]
        assert [(queue, delivery.message.redrives) for queue, delivery in workers.given] == [(SEARCH_QUEUE, 1)]
        assert await effects(database) == (2, 2, 2)
        assert len(await Notifications(database).newest(user_id=ADA, limit=10)) == 2
        assert await depth(vhost.amqp_url, 0)


async def depth(url: str, expected: int) -> bool:
    """Whether so many letters lie in the dead-letter queue."""
    connection = await Connection.open(url, name="test")
    try:
        return await (await connection.channel()).queue_length(DLQ) == expected
    finally:
        await connection.close()


async def indexed(database: Database, expected: int) -> bool:
    return await count(database, "document_search") == expected


async def effects(database: Database) -> tuple[int, int, int]:
    """How many notifications, counts and indexed documents there are."""
    return (
        await count(database, "notifications"),
        await count(database, "document_activity"),
        await count(database, "document_search"),
    )
