"""Asks the broker over AMQP itself: the exact depth of a queue, and which broker answers; no statistics, no lag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from labs.errors import BrokerRefused, BrokerUnavailable

#: A quorum queue that doesn't answer its own broker at once is told as empty and unused: such a one is asked again.
_TRIES, _APART_S = 3, 0.1


@dataclass(frozen=True)
class Depth:
    """Messages ready for delivery (those held unacknowledged by consumers don't count) and consumers of a queue."""

    messages: int
    consumers: int


_NOTHING = Depth(0, 0)


def depth(amqp_url: str, queue: str, *, timeout_s: float = 5.0) -> Depth:
    """The depth of a queue at this moment; a quorum queue says 0 while it has no leader, as after a restart.

    Args:
        amqp_url: of the virtual host.
        queue: its name.
        timeout_s: how long the broker may take for each step of a connection.

    Raises:
        BrokerUnavailable: nothing answers there.
        BrokerRefused: wrong credentials, no such virtual host, or no such queue.
    """
    with _connection(amqp_url, timeout_s=timeout_s) as connection:
        channel = connection.channel()
        try:
            for left in reversed(range(_TRIES)):
                found = _depth(channel, queue)
                if found != _NOTHING or not left:
                    break
                connection.sleep(_APART_S)
        except ChannelClosedByBroker as error:
            raise BrokerRefused(f"queue {queue!r} at {redacted(amqp_url)}: {error.reply_text}") from error
        return found


def depths(amqp_url: str, queues: Sequence[str]) -> dict[str, Depth]:
    """The depths of several queues, asked one after the other; a queue that is gone, or another's, is left out.

    Raises:
        BrokerUnavailable: nothing answers there.
        BrokerRefused: wrong credentials, or no such virtual host.
    """
    found: dict[str, Depth] = {}
    with _connection(amqp_url) as connection:
        channel, doubtful = connection.channel(), list(queues)
        for left in reversed(range(_TRIES)):
            for queue in doubtful:
                try:
                    found[queue] = _depth(channel, queue)
                except ChannelClosedByBroker:
                    found.pop(queue, None)
                    channel = connection.channel()
            doubtful = [queue for queue in queues if found.get(queue) == _NOTHING]
            if not doubtful or not left:
                break
            connection.sleep(_APART_S)
    return {queue: found[queue] for queue in queues if queue in found}


def _depth(channel: BlockingChannel, queue: str) -> Depth:
    answer = channel.queue_declare(queue, passive=True).method
    return Depth(messages=answer.message_count, consumers=answer.consumer_count)


def check(amqp_url: str, *, timeout_s: float = 5.0) -> None:
    """Log in and out again.

    Raises:
        BrokerUnavailable: nothing answers there.
        BrokerRefused: wrong credentials, or no such virtual host.
    """
    with _connection(amqp_url, timeout_s=timeout_s) as connection:
        connection.channel()


def redacted(url: str) -> str:
    """A URL without its password, fit for messages and logs."""
    parts = urlsplit(url)
    if not parts.password:
        return url
    return parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}").geturl()


@contextmanager
def _connection(amqp_url: str, *, timeout_s: float = 5.0) -> Iterator[pika.BlockingConnection]:
    place = redacted(amqp_url)
    try:
        connection = pika.BlockingConnection(_parameters(amqp_url, timeout_s=timeout_s))
    except (ProbableAccessDeniedError, ProbableAuthenticationError, AuthenticationError) as error:
        raise BrokerRefused(f"{place} refuses us: check user, password and permissions") from error
    except ConnectionClosedByBroker as error:
        raise BrokerRefused(f"{place} refuses us: {error.reply_text}") from error
    except (AMQPError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise BrokerUnavailable(
            f"no RabbitMQ answers at {place} ({reason}): is it up, is the address right?"
        ) from error
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


def _parameters(amqp_url: str, *, timeout_s: float) -> pika.URLParameters:
    try:
        parameters = pika.URLParameters(amqp_url)
    except (ValueError, TypeError, IndexError) as error:  # pika splits first and checks later
        raise BrokerUnavailable(f"{redacted(amqp_url)} is not an AMQP URL: amqp://user:password@host:port/") from error
    parameters.socket_timeout = timeout_s
    parameters.stack_timeout = timeout_s
    parameters.blocked_connection_timeout = timeout_s
    parameters.connection_attempts = 1
    return parameters
