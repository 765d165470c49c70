"""A call over RabbitMQ: a question goes to one of several servers, and its answer back to whoever asked.

Guaranteed: a call ends: with its own answer, with an error at once if there is no such queue, or when its time is up.
Late, second and foreign answers are dropped and counted. A question expires with the patience of its caller.
Not guaranteed: that a call without an answer was not handled (its answer may be late, or lost); once (a server that
dies before its ack leaves the question to another one, which handles it again).
"""

from __future__ import annotations

import multiprocessing
import time
import uuid
from collections.abc import Callable

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

from labs.patterns.address import broker_url

DIRECT = "amq.rabbitmq.reply-to"  # not a queue, but a name for: the channel that asks


class Caller:
    """Asks one question after the other. Answers come directly; with `own_queue` through a queue of its own."""

    def __init__(self, url: str, *, own_queue: bool = False) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()  # makes an error of what the broker returns
        self.reply_to = self.channel.queue_declare("", exclusive=True).method.queue if own_queue else DIRECT
        self.channel.basic_consume(self.reply_to, self._on_answer, auto_ack=True)
        self.strays, self._asked = 0, ""
        self._answer: bytes | None = None

    def call(self, queue: str, question: bytes, *, timeout_s: float) -> bytes:
        """Ask, and wait for the answer.

        Raises:
            UnroutableError: there is no such queue.
            TimeoutError: no answer in time; the question may have been handled all the same.
        """
        self._asked, self._answer, deadline = str(uuid.uuid4()), None, time.monotonic() + timeout_s
        ask = BasicProperties(reply_to=self.reply_to, correlation_id=self._asked, expiration=f"{timeout_s * 1000:.0f}")
        self.channel.basic_publish("", queue, question, ask, mandatory=True)
        while self._answer is None:
            if (left_s := deadline - time.monotonic()) <= 0:
                raise TimeoutError(f"no answer within {timeout_s:g} s")
            self.connection.process_data_events(time_limit=left_s)
        return self._answer

    def _on_answer(self, _: BlockingChannel, __: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        if properties.correlation_id == self._asked and self._answer is None:
            self._answer = body
        else:
            self.strays += 1


def serve(url: str, queue: str, answer: Callable[[bytes], bytes]) -> None:
    """Answer one question after the other, for ever. Several processes may; when one dies, others get its question."""

    def on_question(channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        reply = BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to or "", answer(body), reply)
        channel.basic_ack(method.delivery_tag)  # last: whoever acknowledges first leaves a caller alone in a crash

    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, on_question)
        channel.start_consuming()


def main() -> None:
    """Ask a server, then a queue without a server, then nobody at all."""
    url, queue = broker_url(), f"demo.rpc.{uuid.uuid4()}"
    caller, server = Caller(url), multiprocessing.Process(target=serve, args=(url, queue, bytes.upper), daemon=True)
    caller.channel.queue_declare(queue, durable=True)
    steps = (server.start, 30), (server.kill, 2), (lambda: caller.channel.queue_delete(queue), 30)
    for prepare, timeout_s in steps:
        prepare()
        try:
            print(caller.call(queue, b"hello", timeout_s=timeout_s).decode())
        except (TimeoutError, pika.exceptions.UnroutableError) as error:
            print(type(error).__name__)


if __name__ == "__main__":
    main()
