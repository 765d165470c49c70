"""Chapter 07: seven designs of one consumer, each killed at each point by a real SIGKILL, and what was paid then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pika
import psycopg
from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import depths
from labs.notebook.session import Notebook
from labs.patterns.idempotent import Db, handle_once, open_channel, pay
from labs.processes import wait_until
from labs.programs import hang, report

#: Where a worker is killed, in the order of time for most designs.
POINTS = ("received", "before commit", "after commit", "before ack", "after ack")
#: Nobody is killed, but the publisher has sent the message twice.
TWICE = "sent twice"

_END = b"the last one"
_TIMEOUT_S = 20.0


class Delivery:
    """A message in the hands of a worker, which can be told to stand still at one point, to be killed there."""

    def __init__(self, channel: BlockingChannel, db: Db, delivery: Any, *, seen: set[str], hang_at: str) -> None:
        self._method, properties, self.body = delivery
        self._channel, self.db, self._hang_at = channel, db, hang_at
        self.queue, self.message_id, self.seen = self._method.routing_key, properties.message_id, seen
        self.reach("received")

    def reach(self, point: str) -> None:
        """Stand still here, if that was asked for."""
        if point == self._hang_at:
            hang("at", point=point)

    def pay(self) -> None:
        """The effect in a transaction of its own."""
        with self.db.transaction():
            self.effect(self.db, self.body)
        self.reach("after commit")

    def effect(self, db: Db, body: bytes) -> None:
        """The effect, inside the transaction of whoever calls."""
        pay(db, body)
        self.reach("before commit")

    def ack(self) -> None:
        """Acknowledge, and know that the broker has it."""
        self.reach("before ack")
        self._channel.basic_ack(self._method.delivery_tag)
        self._channel.queue_declare(self.queue, passive=True)  # is answered after the ack was taken in
        self.reach("after ack")

    def key_exists(self) -> bool:
        return self.db.execute("SELECT FROM handled WHERE message_id = %s", [self.message_id]).rowcount == 1

    def write_key(self) -> bool:
        """Write the key in a transaction of its own; False if it was there."""
        return handle_once(self.db, self.queue, self.message_id, lambda *_: None, self.body)


def acked_on_delivery(message: Delivery) -> None:
    message.pay()


def ack_then_pay(message: Delivery) -> None:
    message.ack()
    message.pay()


def pay_then_ack(message: Delivery) -> None:
    message.pay()
    message.ack()


def remember_in_memory(message: Delivery) -> None:
    if message.message_id not in message.seen:
        message.pay()
        message.seen.add(message.message_id)
    message.ack()


def key_then_pay(message: Delivery) -> None:
    if message.write_key():
        message.pay()
    message.ack()


def pay_then_key(message: Delivery) -> None:
    if not message.key_exists():
        message.pay()
        message.write_key()
    message.ack()


def key_with_payment(message: Delivery) -> None:
    handle_once(message.db, message.queue, message.message_id, message.effect, message.body)
    message.reach("after commit")
    message.ack()


DESIGNS: Mapping[str, Callable[[Delivery], None]] = {
    "acked on delivery": acked_on_delivery,
    "ack, then pay": ack_then_pay,
    "pay, then ack": pay_then_ack,
    "remember in memory": remember_in_memory,
    "write key, then pay": key_then_pay,
    "pay, then write key": pay_then_key,
    "key with payment": key_with_payment,
}
_AUTOMATIC = "acked on delivery"


def points_of(design: str) -> tuple[str, ...]:
    """Where a design can be killed: what the broker acknowledges by itself has no ack."""
    return POINTS[:3] if design == _AUTOMATIC else POINTS


def worker(url: str, database_url: str, queues: Mapping[str, str], hang_at: str = "") -> None:
    """Handle what is in these queues, each in its design; hang at one point, if there is one, to be killed."""
    seen: set[str] = set()
    with psycopg.connect(database_url, autocommit=True) as db:
        channel = open_channel(url)
        for queue, design in queues.items():
            deliveries: Iterator[Any] = channel.consume(queue, auto_ack=design == _AUTOMATIC)
            for delivery in deliveries:
                if delivery[2] == _END:
                    break
                DESIGNS[design](Delivery(channel, db, delivery, seen=seen, hang_at=hang_at))
            channel.cancel()
    report("done")


def kill_everywhere(lab: Notebook) -> dict[tuple[str, str], int]:
    """How often each design pays, whatever point its worker is killed at: by design and column."""
    queues = _prepare(lab)
    for design in DESIGNS:
        victims = [
            lab.program(worker, database_url=lab.database_url, queues={queues[design, point]: design}, hang_at=point)
            for point in points_of(design)
        ]
        for victim in victims:
            victim.wait_for("at")
            victim.kill()
    _finish(lab, {queue: design for (design, _), queue in queues.items()})
    return {cell: paid(lab.database_url, queue) for cell, queue in queues.items()}


def _prepare(lab: Notebook) -> dict[tuple[str, str], str]:
    """A queue for each cell of the grid, with its message."""
    cells = [(design, column) for design in DESIGNS for column in (*points_of(design), TWICE)]
    queues = {cell: f"payments.{number}" for number, cell in enumerate(cells)}
    channel = open_channel(lab.amqp_url)
    for (_, column), queue in queues.items():
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        properties = pika.BasicProperties(message_id=f"message of {queue}", delivery_mode=2)
        for _ in range(2 if column == TWICE else 1):
            channel.basic_publish("", queue, f"10 {queue}".encode(), properties)
    channel.connection.close()
    return queues


def _finish(lab: Notebook, queues: Mapping[str, str]) -> None:
    """A new worker takes over what the dead have left, as in life; then the queues go."""
    wait_until(
        lambda: all(depth.consumers == 0 for depth in depths(lab.amqp_url, list(queues)).values()),
        timeout_s=_TIMEOUT_S,
    )
    channel = open_channel(lab.amqp_url)
    for queue in queues:
        channel.basic_publish("", queue, _END)  # behind what the broker has taken back
    lab.program(worker, database_url=lab.database_url, queues=queues).wait_for("done")
    for queue in queues:
        channel.queue_delete(queue)
    channel.connection.close()


def paid(database_url: str, account: str) -> int:
    """How many times an account was paid."""
    with psycopg.connect(database_url) as db:
        return int(db.execute("SELECT count(*) FROM ledger WHERE account = %s", [account]).fetchall()[0][0])
