"""Chapter 15: events of documents, looked at, published again in any order, and handled by consumers in the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import structlog

from labs.broker import depths
from labs.messaging.consumer import Consumer
from labs.messaging.dead_letters import DeadLetter, browse
from labs.messaging.delivery import ConsumerConfig, Delivery, Handler
from labs.messaging.message import Message
from labs.messaging.publisher import Publisher
from labs.messaging.retry import RetryPolicy
from labs.notebook.letters import until
from labs.notebook.session import Notebook
from labs.settings import Settings
from labs.stack.child import Child
from labs.store.database import Database
from labs.systems.documents.messages import EVENTS
from labs.systems.documents.topology import DEAD_LETTERS, EXCHANGE, QUEUES, topology
from labs.systems.documents.worker import EFFECTS
from labs.systems.once import Effect, Once

#: Delays as everybody has them: 1, 2 and 4 s.
_SETTINGS = Settings.model_construct()

_EVENTS = """
SELECT message_id::text, type, version, body, correlation_id, occurred_at FROM outbox
WHERE exchange = %s AND (%s::text IS NULL OR correlation_id = %s) ORDER BY id
"""
_EFFECTS = "SELECT consumer, message_id::text FROM inbox WHERE outcome = 'done' AND consumer = ANY(%s)"
_UNPUBLISHED = "SELECT count(*)::int AS n FROM outbox WHERE published_at IS NULL"
_INDEXED = "SELECT version FROM document_search WHERE document_id = %s"


async def events_of(lab: Notebook, document: dict[str, Any] | None = None) -> list[Message]:
    """The committed events of a document, or of all, oldest first, as a relay publishes them."""
    about = document["documentId"] if document else None
    rows = await _rows(lab, _EVENTS, EXCHANGE, about, about)
    return [Message(**{**row, "body": row["body"].encode()}) for row in rows]


def version_of(event: Message) -> int:
    """The version of the document that an event tells of."""
    return int(json.loads(event.body)["data"].get("version", 1))


async def publish(lab: Notebook, events: Sequence[Message]) -> None:
    """Publish events to the fanout exchange, one after the other, each confirmed."""
    async with Publisher(lab.amqp_url, name="by hand") as publisher:
        for event in events:
            await publisher.publish(event, exchange=EXCHANGE, routing_key=event.type)


async def published(lab: Notebook) -> None:
    """Wait until the relay has published everything."""

    async def all_are() -> bool:
        [row] = await _rows(lab, _UNPUBLISHED)
        return bool(row["n"] == 0)

    await until(all_are, what="the relay")


async def handled(lab: Notebook, events: Sequence[Message]) -> None:
    """Wait until each of these events has had all of its effects."""
    wanted = {(queue, event.message_id) for queue in QUEUES for event in events}

    async def all_are() -> bool:
        return wanted <= await effects(lab)

    await until(all_are, what="the effects of all events")


async def effects(lab: Notebook) -> set[tuple[str, str]]:
    """Which queue's consumer has had the effect of which event."""
    rows = await _rows(lab, _EFFECTS, list(QUEUES))
    return {(row["consumer"], row["message_id"]) for row in rows}


async def indexed(lab: Notebook, document: dict[str, Any]) -> int | None:
    """The version of a document in the search index, if it is there."""
    rows = await _rows(lab, _INDEXED, document["documentId"])
    return int(rows[0]["version"]) if rows else None


def waiting(lab: Notebook) -> dict[str, int]:
    """How many messages lie ready in each queue of events."""
    return {queue: depth.messages for queue, depth in depths(lab.vhost.amqp_url, list(QUEUES)).items()}


def said(worker: Child, what: str, *, queue: str | None = None) -> int:
    """How often a worker's log says this, of one queue or of all."""
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if what in line]
    return sum(queue in (None, line["queue"]) for line in lines)


async def all_said(lab: Notebook) -> None:
    """Wait until the workers' logs tell of every effect: a worker writes that line after its commit."""

    async def told() -> bool:
        done = Counter(queue for queue, _ in await effects(lab))
        workers = [child for child in lab.stack.children if child.name.startswith("worker")]
        return all(
            sum(said(each, "Event processed", queue=queue) for each in workers) >= done[queue] for queue in QUEUES
        )

    await until(told, what="what the workers say of all events")


@contextlib.asynccontextmanager
async def consuming(lab: Notebook, **changed: Effect) -> AsyncIterator[set[str]]:
    """Run the three consumers here instead of in a worker, as long as the block takes.

    Gives a set of the queues from which anything has come so far.

    Args:
        lab: the notebook, whose workers have ended.
        changed: other effects, by the last word of the queue's name: `search_index=...`.
    """
    publishing = Publisher(lab.amqp_url, name="consumers in the notebook")
    heard: set[str] = set()
    with structlog.testing.capture_logs():
        async with lab.database as database, publishing as publisher:
            consumers = _consumers(lab, database, publisher, changed, heard)
            running = [asyncio.create_task(consumer.run()) for consumer in consumers]
            try:
                yield heard
            finally:
                await asyncio.gather(*(consumer.stop(grace_s=10) for consumer in consumers))
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)


def _consumers(
    lab: Notebook, database: Database, publisher: Publisher, changed: Mapping[str, Effect], heard: set[str]
) -> list[Consumer]:
    made = []
    for queue, effect in EFFECTS.items():
        name = queue.rpartition(".")[2].replace("-", "_")
        once = Once(database, queue=queue, effect=changed.get(name, effect), at_once=1)
        config = ConsumerConfig(queue, topology(_SETTINGS), EVENTS, RetryPolicy(_SETTINGS.retry_delays_ms))
        made.append(
            Consumer(
                lab.amqp_url,
                config,
                _noting(once.handle, queue, heard),
                publisher=publisher,
                name=queue,
                on_dead_letter=once.give_up,
            )
        )
    return made


def _noting(handler: Handler, queue: str, heard: set[str]) -> Handler:
    async def handle(delivery: Delivery) -> None:
        heard.add(queue)
        await handler(delivery)

    return handle


async def dead_letter(lab: Notebook) -> DeadLetter:
    """The only letter in the events' dead-letter queue, once it is there."""

    async def look() -> DeadLetter | None:
        found = await browse(lab.amqp_url, DEAD_LETTERS.queue)
        return found[0] if len(found) == 1 else None

    return await until(look, what="a dead letter")


def waits_s(letter: DeadLetter) -> list[float]:
    """Seconds between the failed attempts of a letter, by its trail."""
    failed_at = [datetime.fromisoformat(line.split(" ", maxsplit=1)[0]) for line in letter.trail]
    return [(later - sooner).total_seconds() for sooner, later in pairwise(failed_at)]


async def _rows(lab: Notebook, query: str, *parameters: object) -> list[dict[str, Any]]:
    async with lab.database as database, database.connection() as db:
        return await (await db.execute(query, parameters)).fetchall()
