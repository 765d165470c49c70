"""Small programs that publish and consume, one right and the others each wrong in one way; run as processes.

`python mutants.py NAME AMQP_URL DATABASE_URL`. A consumer commits an effect for each message in the table `effects`; a
publisher says on its standard output what counts as published.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pika
import psycopg
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, UnroutableError
from pika.spec import Basic, BasicProperties

QUEUE = "work"
PREFETCH = 10
#: Messages with this text fail at their first attempt, or always.
FAILS_ONCE, FAILS_ALWAYS = b"fails once", b"fails always"
DELAYS_MS = (100, 200, 400)


class Consumer:
    """The right one: acks after its commit, has each effect once, retries with delays, reconnects."""

    auto_ack = False
    prefetch = PREFETCH

    def __init__(self, amqp_url: str, database_url: str) -> None:
        self.amqp_url = amqp_url
        self.database = psycopg.connect(database_url, autocommit=True)

    def run(self) -> None:
        while True:
            with contextlib.suppress(AMQPError):
                self.consume()
            time.sleep(0.1)

    def consume(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare(QUEUE, durable=True)
            channel.basic_qos(prefetch_count=self.prefetch)
            for method, properties, body in channel.consume(QUEUE, auto_ack=self.auto_ack):
                self.handle(channel, method, properties, body)
            self.cancelled(connection)

    def cancelled(self, connection: pika.BlockingConnection) -> None:
        """The broker has cancelled the consumer: to begin anew is right."""

    def handle(self, channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        attempt = attempt_of(properties)
        if body == FAILS_ALWAYS or (body == FAILS_ONCE and attempt == 1):
            self.failed(channel, method, properties, body)
            return
        self.effect(properties.message_id)
        channel.basic_ack(method.delivery_tag)

    def effect(self, message: str) -> None:
        self.database.execute("INSERT INTO effects (message) VALUES (%s) ON CONFLICT DO NOTHING", [message])

    def failed(self, channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        self.retry(channel, properties, body)
        channel.basic_ack(method.delivery_tag)

    def retry(self, channel: BlockingChannel, properties: BasicProperties, body: bytes) -> None:
        attempt = attempt_of(properties)
        if attempt > len(DELAYS_MS):
            self.effect(properties.message_id)  # given up: that is an end too
            return
        again = self.again(properties, attempt + 1)
        channel.basic_publish("", f"{QUEUE}.retry.{DELAYS_MS[attempt - 1]}", body, again, mandatory=True)

    def again(self, properties: BasicProperties, attempt: int) -> BasicProperties:
        return properties_of(properties.message_id, attempt)


class AutoAck(Consumer):
    auto_ack = True

    def handle(self, channel: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
        time.sleep(0.01)
        self.effect(properties.message_id)


class AckBeforeCommit(Consumer):
    def handle(self, channel: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        time.sleep(0.02)
        self.effect(properties.message_id)


class AckInTransaction(Consumer):
    """Written, acked, and then committed: what it dies of in between is lost."""

    def handle(self, channel: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
        with self.database.transaction():
            self.effect(properties.message_id)
            channel.basic_ack(method.delivery_tag)
            time.sleep(0.01)


class NoIdempotence(Consumer):
    """It dies once, between the commit of the first effect of all and its ack."""

    def effect(self, message: str) -> None:
        self.database.execute("INSERT INTO effects_of_all (message) VALUES (%s)", [message])
        row = self.database.execute("SELECT count(*) FROM effects_of_all").fetchone()
        if row == (1,):
            os.kill(os.getpid(), signal.SIGKILL)


class EndlessRequeue(Consumer):
    def failed(self, channel: Any, method: Any, properties: Any, body: Any) -> None:
        channel.basic_reject(method.delivery_tag, requeue=True)


class AckWithoutRetry(Consumer):
    def failed(self, channel: Any, method: Any, properties: Any, body: Any) -> None:
        channel.basic_ack(method.delivery_tag)


class RetryWithoutAck(Consumer):
    def failed(self, channel: Any, method: Any, properties: Any, body: Any) -> None:
        self.retry(channel, properties, body)


class NoCancelHandling(Consumer):
    def cancelled(self, connection: pika.BlockingConnection) -> None:
        while True:
            connection.process_data_events(time_limit=1)


class ForgottenAck(Consumer):
    def handle(self, channel: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
        self.effect(properties.message_id)


class MixedTtl(Consumer):
    """A time to live of its own for each retry, whatever the queue says."""

    def again(self, properties: BasicProperties, attempt: int) -> BasicProperties:
        again = properties_of(properties.message_id, attempt)
        again.expiration = "1"
        return again


class CountsByTwo(Consumer):
    def again(self, properties: BasicProperties, attempt: int) -> BasicProperties:
        return properties_of(properties.message_id, attempt + 1)


class NeverGivesUp(Consumer):
    def retry(self, channel: BlockingChannel, properties: BasicProperties, body: bytes) -> None:
        again = properties_of(properties.message_id, attempt_of(properties) + 1)
        channel.basic_publish("", f"{QUEUE}.retry.{DELAYS_MS[0]}", body, again, mandatory=True)


class NoPrefetch(Consumer):
    prefetch = 0

    def effect(self, message: str) -> None:
        time.sleep(0.01)
        super().effect(message)


class Publisher:
    """The right one: mandatory, and each message counts as published when its confirm is there."""

    messages = 20
    key = QUEUE

    def __init__(self, amqp_url: str, _: str) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
        self.channel = self.connection.channel()

    def run(self) -> None:
        self.publish()
        self.connection.close()

    def publish(self) -> None:
        self.channel.confirm_delivery()
        for message in self.names():
            with contextlib.suppress(UnroutableError):
                self.channel.basic_publish("", self.key, b"", properties_of(message), mandatory=True)
                said(message)

    def names(self) -> Iterator[str]:
        return (f"message-{number}" for number in range(self.messages))


class NoConfirms(Publisher):
    def publish(self) -> None:
        for message in self.names():
            said(message)
            self.channel.basic_publish("", self.key, b"", properties_of(message), mandatory=True)


class NoMandatory(Publisher):
    key = "nowhere"

    def publish(self) -> None:
        self.channel.confirm_delivery()
        for message in self.names():
            self.channel.basic_publish("", self.key, b"", properties_of(message))
            said(message)


class IgnoresReturns(Publisher):
    key = "nowhere"

    def publish(self) -> None:
        self.channel.confirm_delivery()
        for message in self.names():
            with contextlib.suppress(UnroutableError):
                self.channel.basic_publish("", self.key, b"", properties_of(message), mandatory=True)
            said(message)


class UnboundedWindow(Publisher):
    """Publishes whatever it has, and waits for the confirms afterwards."""

    messages = 1000

    def publish(self) -> None:
        raw = self.channel._impl
        waiting = set(range(1, self.messages + 1))

        def confirmed(frame: Any) -> None:
            tag = frame.method.delivery_tag
            done = {each for each in waiting if each <= tag} if frame.method.multiple else {tag}
            waiting.difference_update(done)
            for each in sorted(done):
                said(f"message-{each - 1}")

        raw.confirm_delivery(ack_nack_callback=confirmed)
        for message in self.names():
            raw.basic_publish("", self.key, b"", properties_of(message))
        while waiting:
            self.connection.process_data_events(time_limit=1)


def properties_of(message: str, attempt: int = 1) -> BasicProperties:
    return BasicProperties(message_id=message, delivery_mode=2, headers={"attempt": attempt})


def attempt_of(properties: BasicProperties) -> int:
    return int((properties.headers or {}).get("attempt", 1))


def said(message: str) -> None:
    print(message, time.monotonic_ns(), flush=True)


Program = Callable[[str, str], Any]
PROGRAMS: dict[str, Program] = {
    each.__name__: each  # type: ignore[attr-defined]
    for each in (
        *(Consumer, AutoAck, AckBeforeCommit, AckInTransaction, NoIdempotence, EndlessRequeue, AckWithoutRetry),
        *(RetryWithoutAck, NoCancelHandling, ForgottenAck, MixedTtl, CountsByTwo, NeverGivesUp, NoPrefetch),
        *(Publisher, NoConfirms, NoMandatory, IgnoresReturns, UnboundedWindow),
    )
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2], sys.argv[3]).run()
