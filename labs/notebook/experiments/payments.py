"""Chapter 06: the processes, all small: a bank, its workers, and some that are to be killed at an exact moment."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import time
from collections.abc import Sequence
from typing import Any, cast

import pika
from pika.adapters.blocking_connection import BlockingChannel

from labs.patterns.retry_dlq import DELAYS_MS, declare, redrive, settle
from labs.programs import hang, report

_HOST = "127.0.0.1"


def bank(*, url: str, port: int = 0) -> None:  # noqa: ARG001 (every program is told where the broker is)
    """A server that charges whatever it is told to, and reports each charge; it never asks whether it knows an order.

    Args:
        url: unused.
        port: 0 takes any that is free.
    """

    class Desk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            report("charged", order=self.rfile.readline().decode().strip())
            self.wfile.write(b"charged\n")

    class Bank(socketserver.TCPServer):
        allow_reuse_address = True

    with Bank((_HOST, port), Desk) as server:
        report("open", port=server.server_address[1])
        server.serve_forever()


def charge(port: int, body: bytes) -> None:
    """The worker's task: let the bank charge the order that the body names.

    Raises:
        ConnectionError: the bank is down, or hung up before it had answered.
    """
    with socket.create_connection((_HOST, port), timeout=5) as line, line.makefile("rb") as answer:
        line.sendall(body + b"\n")
        if answer.readline() != b"charged\n":
            raise ConnectionResetError("the bank hung up")


def worker(*, url: str, queue: str, port: int, delays_ms: Sequence[int] = DELAYS_MS) -> None:
    """Charges order after order, with the pattern; reports each delivery, and each `attempt` when it ends."""

    def task(body: bytes) -> None:
        outcome = "charged"
        try:
            charge(port, body)
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            report("attempt", order=body.decode(), outcome=outcome)

    incoming, outgoing = _channel(url), _channel(url)
    declare(incoming, queue, delays_ms=delays_ms)
    incoming.basic_qos(prefetch_count=1)
    report("ready")
    for delivery in incoming.consume(queue, inactivity_timeout=1):
        outgoing.connection.process_data_events()  # nobody else answers its heartbeats
        method, properties, _ = delivery
        if method is not None and properties is not None:
            report("delivered", message_id=properties.message_id, redelivered=method.redelivered)
            settle(incoming, outgoing, delivery, queue=queue, task=task, delays_ms=delays_ms)


def watch(*, url: str, queues: Sequence[str], every_s: float = 0.03) -> None:
    """Reports `depth` whenever the number of messages that wait in one of the queues has changed."""
    channel, known = _channel(url), dict.fromkeys(queues, 0)
    report("ready")
    while True:
        for queue in queues:
            count = channel.queue_declare(queue, passive=True).method.message_count
            if count != known[queue]:
                known[queue] = count
                report("depth", queue=queue, messages=count)
        time.sleep(every_s)


def take_and_hang(*, url: str, queue: str) -> None:
    """Takes a message and never acknowledges it."""
    for _ in _channel(url).consume(queue):
        hang("took it")


def take_and_die(*, url: str, queue: str) -> None:
    """Takes a message and is killed by it, as by a kernel that has no memory left."""
    for _ in _channel(url).consume(queue):
        os.kill(os.getpid(), signal.SIGKILL)


def failing_worker(*, url: str, queue: str, stop: str) -> None:
    """Its task fails; while it arranges the retry it stops for ever, `before the publish` or `after the confirm`."""

    def task(_: bytes) -> None:
        raise ConnectionError("the bank is down")

    incoming, outgoing = _channel(url), _stopping(url, stop)
    for delivery in incoming.consume(queue):
        settle(incoming, outgoing, delivery, queue=queue, task=task, delays_ms=(60_000,))


def hasty_worker(*, url: str, queue: str) -> None:
    """Acknowledges before it publishes the retry, and stops for ever in between."""
    incoming = _channel(url)
    for method, _, _ in incoming.consume(queue):
        assert method is not None
        incoming.basic_ack(method.delivery_tag)
        hang("stopped")


def interrupted_redrive(*, url: str, queue: str) -> None:
    """A redrive that stops for ever when its first letter is sent back and confirmed, but not acknowledged."""
    redrive(_stopping(url, "after the confirm"), queue, dry_run=False)


def _stopping(url: str, stop: str) -> BlockingChannel:
    return cast(BlockingChannel, _Stopping(_channel(url), stop))


class _Stopping:
    """A channel that stops its process at its first publish; all else it passes on."""

    def __init__(self, channel: BlockingChannel, stop: str) -> None:
        self._channel = channel
        self._stop = stop

    def basic_publish(self, *arguments: Any, **options: Any) -> None:
        if self._stop == "before the publish":
            hang("stopped")
        self._channel.basic_publish(*arguments, **options)
        hang("stopped")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


def _channel(url: str) -> BlockingChannel:
    """A channel that confirms, on a connection of its own."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.confirm_delivery()
    return channel
