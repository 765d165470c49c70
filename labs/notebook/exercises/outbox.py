"""Chapter 08: a relay that marks only what is confirmed, and leaves alone what another relay holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika
import psycopg
from pika.exceptions import UnroutableError

from labs.patterns.idempotent import Db
from labs.patterns.outbox import CLAIM, SCHEMA

_QUEUE = "orders.exercise"
_NOWHERE = "no-such-queue"
Publish = Callable[[str, str, str], bool]
Relay = Callable[[Db, Publish], object]


def check_relay(amqp_url: str, database_url: str, relay: Relay) -> str:
    """A learner's relay on real rows: one that another relay holds, and one whose queue doesn't exist."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(_QUEUE, exclusive=True)

        def publish(message_id: str, queue: str, body: str) -> bool:
            properties = pika.BasicProperties(message_id=message_id)
            try:
                channel.basic_publish("", queue, body.encode(), properties, mandatory=True)
            except UnroutableError:
                return False
            published.append(message_id)
            return True

        published: list[str] = []
        try:
            return _verdict(database_url, relay, publish, published)
        except psycopg.errors.LockNotAvailable:
            return "Not yet: your relay waits for a row that another relay holds. It could do others meanwhile."
        except Exception as error:
            return f"Not yet: your relay raised {type(error).__name__}: {error}"


def _verdict(database_url: str, relay: Relay, publish: Publish, published: list[str]) -> str:
    # Given three rows: the first has no queue to go to
    with psycopg.connect(database_url, autocommit=True) as db, psycopg.connect(database_url) as other:
        db.execute(SCHEMA)
        db.execute("SET lock_timeout = '500ms'")
        db.execute("DELETE FROM outbox")
        for name, queue in (("first", _NOWHERE), ("second", _QUEUE), ("third", _QUEUE)):
            insert = "INSERT INTO outbox (message_id, queue, body) VALUES (%s, %s, '10 ada')"
            db.execute(insert, [name, queue])
        relay(db, publish)
        marked = _marked(db)
        if "first" in marked:
            return "Not yet: the broker refused a message, and its row is marked as published. It will never be sent."
        if marked != {"second", "third"} or sorted(published) != ["second", "third"]:
            return f"Not yet: published were {published}, marked {sorted(marked)}; wanted: second and third, once each."
        # And three more, of which another relay holds the first two
        db.execute("UPDATE outbox SET published_at = NULL, queue = %s", [_QUEUE])
        published.clear()
        held = {row[1] for row in other.execute(CLAIM.replace("LIMIT 10", "LIMIT 2")).fetchall()}
        relay(db, publish)
        if held & set(published):
            return "Not yet: your relay published a row that another relay holds: the message goes out twice."
        if published != ["third"] or _marked(db) != {"third"}:
            return (
                f"Not yet: another relay held the first two rows, and yours published {published}; wanted: the third."
            )
    return "Solved: what is confirmed is marked, what is refused waits, and two relays don't disturb each other."


def _marked(db: Db) -> set[Any]:
    return {name for (name,) in db.execute("SELECT message_id FROM outbox WHERE published_at IS NOT NULL").fetchall()}
