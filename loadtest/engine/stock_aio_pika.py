"""Publishes and consumes with aio-pika on uvloop, as a careful user does: what that costs, to be compared.

Each publish is a task of its own, and with a confirm window so many wait for their confirms at once; without one no
confirms are asked for, and aio-pika doesn't tell of returned messages either: those are lost. Each message comes to a
callback.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError, PublishError

from loadtest.engine.aio_pika_session import FAILURES, Session
from loadtest.engine.clients import RECONNECT_S, consume, publish
from loadtest.engine.consumption import IDLE_S, Consumption
from loadtest.engine.errors import LinkError
from loadtest.engine.ledger import Outcome
from loadtest.engine.plan import Task
from loadtest.engine.publications import Publications
from loadtest.engine.singly import SingleReceipts, SingleSends

#: Without confirms, so many publishes may wait to be written at once.
_WRITING = 64
#: At high rates messages are looked for so often, in seconds: an event loop's timer is no finer.
_GATHER_S = 0.001
_LOOK_UP_S = 0.05


class AioPikaPublisher:
    """Producer."""

    def __init__(self, account: Publications, loop: asyncio.AbstractEventLoop) -> None:
        self._account, self._task, self._plan = account, account.task, account.plan
        self._mode = aio_pika.DeliveryMode.PERSISTENT if self._plan.persistent else aio_pika.DeliveryMode.NOT_PERSISTENT
        self._loop, self._session = loop, Session(loop)
        self._sends = SingleSends(account)
        self._publishes: set[asyncio.Task[None]] = set()

    def connect(self) -> None:
        self._session.run(self._connect())

    @property
    def is_writing(self) -> bool:
        return bool(self._publishes)

    def step(self) -> None:
        if not self._session.is_open:
            self.connect()
        try:
            self._session.run(self._step())
        finally:
            self._sends.write()

    def disconnect(self) -> None:
        self._loop.run_until_complete(self._disconnect())
        self._sends.write()

    async def _connect(self) -> None:
        name = f"load producer {self._task.number}"
        channel = await self._session.open(self._task.url, name=name, confirms=self._plan.window > 0)
        self._exchange = channel.default_exchange

    async def _step(self) -> None:
        room = (self._plan.window or _WRITING) - len(self._publishes)
        for sequence, body in self._sends.due(room):
            publishing = asyncio.create_task(self._publish(sequence, body))
            self._publishes.add(publishing)
            publishing.add_done_callback(self._publishes.discard)
        self._sends.write()
        soon = self._publishes or self._account.has_schedule
        wait_s = max(_GATHER_S, self._account.until_next_s()) if soon else _LOOK_UP_S
        await asyncio.sleep(min(_LOOK_UP_S, wait_s))

    async def _publish(self, sequence: int, body: bytes) -> None:
        queue = self._task.queues[sequence % len(self._task.queues)]
        outcome = Outcome.CONFIRMED
        try:
            message = aio_pika.Message(body, delivery_mode=self._mode)
            await self._exchange.publish(message, routing_key=queue, mandatory=self._plan.mandatory)
        except PublishError:
            outcome = Outcome.RETURNED
        except DeliveryError:
            outcome = Outcome.NACKED
        except FAILURES as error:
            self._session.error = self._session.error or error
            return
        if self._plan.window:
            self._sends.answered(sequence, outcome)

    async def _disconnect(self) -> None:
        for waiting in self._publishes:
            waiting.cancel()
        await asyncio.gather(*self._publishes, return_exceptions=True)
        await self._session.close()


class AioPikaConsumer:
    """Consumer, with one channel for all of its queues."""

    def __init__(self, account: Consumption, loop: asyncio.AbstractEventLoop) -> None:
        self._account, self._task, self._plan = account, account.task, account.plan
        self._loop, self._session = loop, Session(loop)
        self._receipts = {queue: SingleReceipts(account, queue) for queue in account.task.queues}
        self._unacked = 0

    def connect(self) -> None:
        self._session.run(self._connect())

    def step(self) -> None:
        try:
            if not self._session.is_open:
                self.connect()
            self._session.run(self._step())
        except LinkError as error:
            self._unacked = 0  # with the connection its tags are gone
            self.disconnect()
            self._account.lost(error)
            self._loop.run_until_complete(asyncio.sleep(RECONNECT_S))

    def disconnect(self) -> None:
        self._write()
        self._loop.run_until_complete(self._disconnect())

    async def _connect(self) -> None:
        channel = await self._session.open(self._task.url, name=f"load consumer {self._task.number}")
        await channel.set_qos(prefetch_count=self._plan.prefetch)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._cancelled)
        arguments: dict[str, Any] = {"x-stream-offset": "first"} if self._plan.queue_type == "stream" else {}
        for name in self._task.queues:
            queue = await channel.get_queue(name)
            await queue.consume(self._received, arguments=arguments)

    async def _step(self) -> None:
        await asyncio.sleep(IDLE_S)
        if self._account.is_idle:
            self._write()
            await self._acknowledge()

    async def _received(self, message: AbstractIncomingMessage) -> None:
        self._receipts[message.routing_key or ""].take(
            message.body, tag=message.delivery_tag or 0, redelivered=message.redelivered
        )
        self._unacked += 1
        self._last = message
        if self._unacked >= self._plan.ack_every:
            try:
                await self._acknowledge()
            except FAILURES as error:
                self._session.error = self._session.error or error

    async def _acknowledge(self) -> None:
        if self._unacked:
            self._unacked = 0
            await self._last.ack(multiple=True)

    async def _disconnect(self) -> None:
        with contextlib.suppress(*FAILURES):
            await self._acknowledge()
        await self._session.close()

    def _write(self) -> None:
        for receipts in self._receipts.values():
            receipts.write()

    def _cancelled(self, _: object) -> None:
        self._session.error = self._session.error or LinkError("the broker cancelled the consumer: its queue is gone")


def produce(task: Task) -> None:
    """Run one producer, and leave its books in a file."""
    account, loop = Publications(task), uvloop.new_event_loop()
    publish(account, AioPikaPublisher(account, loop))


def receive(task: Task) -> None:
    """Run one consumer, and leave its books in a file."""
    account, loop = Consumption(task), uvloop.new_event_loop()
    consume(account, AioPikaConsumer(account, loop))
