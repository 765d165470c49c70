"""Publishes and consumes with plain pika, as its own examples do: what a `BlockingConnection` costs, to be compared.

With a confirm window it waits for each confirm before it publishes the next message, because that is what a
`BlockingChannel` does, whatever the size of the window; without one it asks for no confirms.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionClosedByBroker, NackError, UnroutableError
from pika.spec import Basic, BasicProperties

from loadtest.engine import stamps
from loadtest.engine.clients import RECONNECT_S, consume, publish
from loadtest.engine.consumption import IDLE_S, Consumption
from loadtest.engine.errors import LinkError, Refused
from loadtest.engine.ledger import Outcome
from loadtest.engine.plan import Task
from loadtest.engine.publications import Publications
from loadtest.engine.publisher import GATHER_S, GATHERS_FROM
from loadtest.engine.singly import SingleReceipts, SingleSends

#: Messages, and seconds, after which it looks up from publishing: for heartbeats, and whether it is enough.
_MOST_AT_ONCE = 64
_LOOK_UP_S = 0.05
_FAILURES = (AMQPError, OSError)


def _connected(url: str, *, name: str) -> pika.BlockingConnection:
    parameters = pika.URLParameters(url)
    parameters.client_properties = {"connection_name": name}
    try:
        return pika.BlockingConnection(parameters)
    except _FAILURES as error:
        raise _link_error(error) from error


def _link_error(error: Exception) -> LinkError:
    if isinstance(error, ChannelClosedByBroker | ConnectionClosedByBroker):
        return Refused(error.reply_code, error.reply_text)
    return LinkError(f"the connection was lost: {error!s}" if str(error) else repr(error))


class PikaPublisher:
    """Producer."""

    def __init__(self, account: Publications) -> None:
        self._account, self._task, self._plan = account, account.task, account.plan
        self._properties = BasicProperties(delivery_mode=2 if self._plan.persistent else 1)
        rate = self._plan.rate
        self._gathers = rate is not None and rate / self._plan.producers > GATHERS_FROM
        self._sends = SingleSends(account)
        self._connection: pika.BlockingConnection | None = None

    def connect(self) -> None:
        connection = _connected(self._task.url, name=f"load producer {self._task.number}")
        connection.add_on_connection_blocked_callback(lambda *_: self._account.blocked())
        connection.add_on_connection_unblocked_callback(lambda *_: self._account.unblocked())
        self._channel = connection.channel()
        if self._plan.window:
            self._channel.confirm_delivery()
        self._channel.add_on_return_callback(self._returned)
        self._connection = connection

    @property
    def is_writing(self) -> bool:
        return False  # pika returns when everything is written

    def step(self) -> None:
        if self._connection is None:
            self.connect()
            assert self._connection is not None
        try:
            self._publish_due()
            wait_s = max(GATHER_S if self._gathers else 0.0, self._account.until_next_s())
            self._connection.process_data_events(time_limit=min(_LOOK_UP_S, wait_s))
        except _FAILURES as error:
            raise _link_error(error) from error
        finally:
            self._sends.write()

    def disconnect(self) -> None:
        self._sends.write()
        if self._connection is not None:
            with contextlib.suppress(*_FAILURES):
                self._connection.close()
        self._connection = None

    def _publish_due(self) -> None:
        until_s = time.monotonic() + _LOOK_UP_S
        for sequence, body in self._sends.due(_MOST_AT_ONCE):
            self._publish(sequence, body)
            if time.monotonic() > until_s:
                break
        self._sends.write()

    def _publish(self, sequence: int, body: bytes) -> None:
        queue = self._task.queues[sequence % len(self._task.queues)]
        outcome = Outcome.CONFIRMED
        try:
            self._channel.basic_publish("", queue, body, self._properties, mandatory=self._plan.mandatory)
        except UnroutableError:
            outcome = Outcome.RETURNED
        except NackError:
            outcome = Outcome.NACKED
        if self._plan.window:
            self._sends.answered(sequence, outcome)

    def _returned(self, *told: Any) -> None:
        """Without confirms; with them pika raises instead."""
        sequence = stamps.sequence_of(told[-1])
        if sequence is not None:
            self._account.book.returned(sequence)


class PikaConsumer:
    """Consumer, with one channel for all of its queues."""

    def __init__(self, account: Consumption) -> None:
        self._account, self._task, self._plan = account, account.task, account.plan
        self._receipts = {queue: SingleReceipts(account, queue) for queue in account.task.queues}
        self._connection: pika.BlockingConnection | None = None

    def connect(self) -> None:
        connection = _connected(self._task.url, name=f"load consumer {self._task.number}")
        arguments: dict[str, Any] = {"x-stream-offset": "first"} if self._plan.queue_type == "stream" else {}
        self._unacked = self._last_tag = 0
        self._is_cancelled = False
        try:
            self._channel = connection.channel()
            self._channel.basic_qos(prefetch_count=self._plan.prefetch)
            self._channel.add_on_cancel_callback(self._cancelled)
            for queue in self._task.queues:
                self._channel.basic_consume(queue, self._received, arguments=arguments)
        except _FAILURES as error:
            raise _link_error(error) from error
        self._connection = connection

    def step(self) -> None:
        try:
            if self._connection is None:
                self.connect()
                assert self._connection is not None
            self._connection.process_data_events(time_limit=IDLE_S)
            if self._account.is_idle:
                self._write()
                self._acknowledge()
        except LinkError as error:
            self._lost(error)
        except _FAILURES as error:
            self._lost(_link_error(error))
        else:
            if self._is_cancelled:
                self._lost(LinkError("the broker cancelled the consumer: its queue is gone"))

    def disconnect(self) -> None:
        self._write()
        if self._connection is not None:
            with contextlib.suppress(*_FAILURES):
                self._acknowledge()
                self._connection.close()
        self._connection = None

    def _received(self, _: BlockingChannel, method: Basic.Deliver, __: BasicProperties, body: bytes) -> None:
        self._receipts[method.routing_key].take(body, tag=method.delivery_tag, redelivered=method.redelivered)
        self._unacked += 1
        self._last_tag = method.delivery_tag
        if self._unacked >= self._plan.ack_every:
            self._acknowledge()

    def _acknowledge(self) -> None:
        if self._unacked:
            self._channel.basic_ack(self._last_tag, multiple=True)
            self._unacked = 0

    def _write(self) -> None:
        for receipts in self._receipts.values():
            receipts.write()

    def _cancelled(self, _: object) -> None:
        self._is_cancelled = True

    def _lost(self, error: LinkError) -> None:
        self._unacked = 0  # with the connection its tags are gone
        self.disconnect()
        self._account.lost(error)
        time.sleep(RECONNECT_S)


def produce(task: Task) -> None:
    """Run one producer, and leave its books in a file."""
    account = Publications(task)
    publish(account, PikaPublisher(account))


def receive(task: Task) -> None:
    """Run one consumer, and leave its books in a file."""
    account = Consumption(task)
    consume(account, PikaConsumer(account))
