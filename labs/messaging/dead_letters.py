"""Dead letters: why each is there, and the way back.

A redrive publishes with a confirm before it acknowledges, so a crash makes a duplicate, never a loss.
It moves at most what lay in the queue when it began, so letters that fail again don't go in circles.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pika.spec import Basic, BasicProperties

from labs.errors import MessageError
from labs.messaging.connection import Channel, Connection
from labs.messaging.message import LINE_LENGTH, PERSISTENT, TRAIL_LENGTH, decode, now
from labs.messaging.publisher import Publisher
from labs.messaging.topology import DEFAULT_EXCHANGE, Route, dead_letter_queue

#: Headers that travel on with a republished message. Never `x-death`: before RabbitMQ 4.0 a copied one
#: makes the broker drop the message as a cycle.
CARRIED_HEADERS = frozenset({"version", "occurred-at", "attempt", "redrives", "traceparent", "trail"})

_SUFFIX = ".dlq"


@dataclass(frozen=True)
class DeadLetter:
    """A message in a dead-letter queue."""

    queue: str
    source: str
    reason: str
    message_id: str | None
    type: str | None
    attempts: int
    redrives: int
    died_at: datetime | None
    trail: tuple[str, ...]
    body: bytes = field(repr=False)
    properties: BasicProperties = field(repr=False)


Match = Callable[[DeadLetter], bool]


async def dead_letter(
    publisher: Publisher,
    properties: BasicProperties,
    body: bytes,
    *,
    queue: str,
    reason: str,
    route: Route | None = None,
) -> None:
    """Put a message into a dead-letter queue, confirmed.

    Args:
        publisher: publishes it.
        properties: as the message came.
        body: likewise.
        queue: the work queue that it failed in, where a redrive sends it back to.
        reason: one line.
        route: to the dead-letter queue; by default that of the work queue alone.

    Raises:
        PublishError, BrokerUnavailable: it is not known to be there.
    """
    headers = {
        **carried(properties),
        "dead-letter-reason": reason[:LINE_LENGTH],
        "dead-letter-queue": queue,
        "dead-letter-at": now().isoformat(),
    }
    to = route or Route(DEFAULT_EXCHANGE, dead_letter_queue(queue))
    await publisher.publish_raw(body, republished(properties, headers), exchange=to.exchange, routing_key=to.key)


def carried(properties: BasicProperties) -> dict[str, Any]:
    """The headers that may travel on."""
    return {name: _sendable(value) for name, value in (properties.headers or {}).items() if name in CARRIED_HEADERS}


def _sendable(value: object) -> object:
    """The value if it is of our kinds, else its text: pika can receive values, such as floats, that it can't send."""
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, list):
        return [str(line)[:LINE_LENGTH] for line in value[-TRAIL_LENGTH:]]
    return str(value)[:LINE_LENGTH]


def republished(properties: BasicProperties, headers: dict[str, Any]) -> BasicProperties:
    """Properties of a message published again: an allow-list, persistent, with these headers."""
    return BasicProperties(
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        delivery_mode=PERSISTENT,
        message_id=properties.message_id,
        correlation_id=properties.correlation_id,
        type=properties.type,
        headers=headers,
    )


def read(queue: str, properties: BasicProperties, body: bytes) -> DeadLetter:
    """What is known of a dead letter, put there by a consumer of ours or by the broker itself."""
    headers = properties.headers or {}
    death = _death(headers.get("x-death"))
    by_us = _text(headers.get("dead-letter-reason"))
    # What the broker says of its own dead-lettering can't be forged by a publisher; our headers could.
    source = _text(death.get("queue")) or _text(headers.get("dead-letter-queue")) or queue.removesuffix(_SUFFIX)
    return DeadLetter(
        queue=queue,
        source=source,
        reason=by_us or f"by the broker: {_text(death.get('reason')) or 'unknown'}",
        message_id=properties.message_id,
        type=properties.type,
        attempts=_number(headers.get("attempt"), default=1),
        redrives=_number(headers.get("redrives"), default=0),
        died_at=_moment(headers.get("dead-letter-at")) or _moment(death.get("time")),
        trail=_lines(headers.get("trail")),
        body=body,
        properties=properties,
    )


# A letter may be here just because its headers are not what they should be.
def _number(value: object, *, default: int) -> int:
    return value if isinstance(value, int) else default


def _death(value: object) -> dict[str, Any]:
    """The newest entry of `x-death`, if it has the broker's form."""
    newest = value[0] if isinstance(value, list) and value else None
    return newest if isinstance(newest, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    return None


def _lines(value: object) -> tuple[str, ...]:
    return tuple(str(line) for line in value) if isinstance(value, list) else ()


async def browse(url: str, queue: str, *, limit: int = 100, match: Match = lambda _: True) -> list[DeadLetter]:
    """Look at up to `limit` dead letters, oldest first, and leave them where they are.

    Raises:
        BrokerError: the broker doesn't answer, or there is no such queue.
    """
    found: list[DeadLetter] = []
    async with _letters(url) as channel:
        async for _, letter in _fetch(channel, queue):
            if match(letter):
                found.append(letter)
            if len(found) >= limit:
                break
    return found


@dataclass(frozen=True)
class Redrive:
    """What a redrive did, or would do."""

    matched: tuple[DeadLetter, ...]
    left: int


async def redrive(
    url: str, queue: str, *, publisher: Publisher | None, match: Match = lambda _: True, limit: int | None = None
) -> Redrive:
    """Send dead letters back, each to the one queue that it failed in: whoever else had the message is left alone.

    Args:
        url: the broker.
        queue: the dead-letter queue.
        publisher: publishes them; None is a dry run, which moves nothing.
        match: which ones.
        limit: most letters to move.

    Raises:
        PublishError: the source queue is gone or refuses; the letter stays where it is.
    """
    matched: list[DeadLetter] = []
    left = 0
    async with _letters(url) as channel:
        async for method, letter in _fetch(channel, queue):
            if not match(letter) or (limit is not None and len(matched) >= limit):
                left += 1
                continue
            if publisher is not None:
                await _send_back(publisher, letter)
                channel.raw.basic_ack(method.delivery_tag)
            matched.append(letter)
        await channel.close()  # returns when the acks have arrived; what was not acked goes back
    return Redrive(tuple(matched), left)


async def _send_back(publisher: Publisher, letter: DeadLetter) -> None:
    properties = letter.properties
    try:
        message = decode(properties, letter.body, max_bytes=len(letter.body))
    except MessageError:
        back = republished(properties, {**carried(properties), "redrives": letter.redrives + 1})
    else:
        back = message.redriven().properties()
    await publisher.publish_raw(letter.body, back, exchange=DEFAULT_EXCHANGE, routing_key=letter.source)


@contextlib.asynccontextmanager
async def _letters(url: str) -> AsyncIterator[Channel]:
    connection = await Connection.open(url, name="dead letters")
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def _fetch(channel: Channel, queue: str) -> AsyncIterator[tuple[Basic.GetOk, DeadLetter]]:
    """Each letter that lies in the queue now, once; unacknowledged, so that closing the channel puts it back."""
    for _ in range(await channel.queue_length(queue)):
        fetched = await channel.get(queue)
        if fetched is None:
            return
        method, properties, body = fetched
        yield method, read(queue, properties, body)
