"""Asks the broker over AMQP itself: the exact depth of a queue, and which broker answers; no statistics, no lag."""

from __future__ import annotations

from collections.abc import Iterator
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


@dataclass(frozen=True)
class Depth:
    """Messages ready for delivery (those held unacknowledged by consumers don't count) and consumers of a queue."""

    messages: int
    consumers: int


def depth(amqp_url: str, queue: str) -> Depth:
    """The depth of a queue at this moment.

    Raises:
        BrokerUnavailable: nothing answers there.
        BrokerRefused: wrong credentials, no such virtual host, or no such queue.
    """
    with _channel(amqp_url) as channel:
        try:
            answer = channel.queue_declare(queue, passive=True).method
        except ChannelClosedByBroker as error:
            raise BrokerRefused(f"queue {queue!r} at {redacted(amqp_url)}: {error.reply_text}") from error
        return Depth(messages=answer.message_count, consumers=answer.consumer_count)


def check(amqp_url: str, *, timeout_s: float = 5.0) -> None:
    """Log in and out again.

    Raises:
        BrokerUnavailable: nothing answers there.
        BrokerRefused: wrong credentials, or no such virtual host.
    """
    with _channel(amqp_url, timeout_s=timeout_s):
        pass


def redacted(url: str) -> str:
    """A URL without its password, fit for messages and logs."""
    parts = urlsplit(url)
    if not parts.password:
        return url
    return parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}").geturl()


@contextmanager
def _channel(amqp_url: str, *, timeout_s: float = 5.0) -> Iterator[BlockingChannel]:
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
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


def _parameters(amqp_url: str, *, timeout_s: float) -> pika.URLParameters:
    try:
        parameters = pika.URLParameters(amqp_url)
    except (ValueError, TypeError) as error:
        raise BrokerUnavailable(f"{redacted(amqp_url)} is not an AMQP URL: amqp://user:password@host:port/") from error
    parameters.socket_timeout = timeout_s
    parameters.stack_timeout = timeout_s
    parameters.blocked_connection_timeout = timeout_s
    parameters.connection_attempts = 1
    return parameters
