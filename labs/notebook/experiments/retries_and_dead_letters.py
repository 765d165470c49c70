"""Chapter 06: a bank that can be down, and workers that can be killed at an exact moment."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import socketserver
import time
from collections.abc import Sequence
from typing import Any, cast

import pika
from pika.adapters.blocking_connection import BlockingChannel

from labs.display import Mark, Picture, Snapshot, Stretch, draw, snapshot
from labs.notebook.session import Notebook
from labs.patterns.retry_dlq import DELAYS_MS, declare, redrive, settle
from labs.processes import wait_until
from labs.programs import Report, hang, report

_HOST = "127.0.0.1"
#: So that the last stay in a queue is as wide as a word.
_TAIL_S = 0.8


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
    """Charges order after order, with the pattern; reports every `attempt` when it ends, well or not."""

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
        if delivery[0] is not None:
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


def trail(attempts: Sequence[Report], depths: Sequence[Report], *, queues: Sequence[str]) -> dict[str, Any]:
    """Where one message was: lanes for `labs.display.tracks`, in seconds since its first attempt."""
    since_s = attempts[0].at_s
    end_s = max(told.at_s for told in (*attempts, *depths)) - since_s + _TAIL_S
    lanes: dict[str, list[Mark | Stretch]] = {
        "worker": [
            Mark(told.at_s - since_s, f"attempt: {told['outcome']}", str(number))
            for number, told in enumerate(attempts, start=1)
        ]
    }
    for queue in queues:
        kind = "dead" if queue.endswith(".dlq") else "waits"
        moments = [told.at_s - since_s for told in depths if told["queue"] == queue]
        stays = itertools.zip_longest(moments[::2], moments[1::2], fillvalue=end_s)
        lanes[queue] = [
            Stretch(start_s, left_s, kind, "" if kind == "dead" else f"{left_s - start_s:.1f} s")
            for start_s, left_s in stays
        ]
    return lanes


def gaps_ms(reports: Sequence[Report]) -> list[float]:
    """Milliseconds from each report to the next."""
    return [(after.at_s - before.at_s) * 1000 for before, after in itertools.pairwise(reports)]


def killed_by(lab: Notebook, queue: str, *, most: int) -> int:
    """Start one worker after the other, each killed by the message it takes, until the message is in the DLQ.

    Returns:
        how many it took; not more than `most`.
    """
    for number in range(most):
        lab.program(take_and_die, queue=queue).wait()
        wait_until(lambda: _ready(lab, queue) + _ready(lab, f"{queue}.dlq") == 1, timeout_s=10, every_s=0.02)
        if _ready(lab, f"{queue}.dlq"):
            return number + 1
    return most


def take_and_die(*, url: str, queue: str) -> None:
    """Takes a message and is killed by it, as by a kernel that has no memory left."""
    for _ in _channel(url).consume(queue):
        os.kill(os.getpid(), signal.SIGKILL)


def _ready(lab: Notebook, queue: str) -> int:
    return lab.vhost.depth(queue).messages


def failing_worker(*, url: str, queue: str, stop: str) -> None:
    """Its task fails; while it arranges the retry it stops for ever, `before the publish` or `after the confirm`."""

    def task(_: bytes) -> None:
        raise ConnectionError("the bank is down")

    incoming, outgoing = _channel(url), _stopping(url, stop)
    for delivery in incoming.consume(queue):
        settle(incoming, outgoing, delivery, queue=queue, task=task, delays_ms=(60_000,))


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


def wait_for_depth(lab: Notebook, queue: str, messages: int, *, timeout_s: float = 15.0) -> bool:
    """Wait until so many messages are ready in a queue; False if there never were."""
    return wait_until(lambda: _ready(lab, queue) == messages, timeout_s=timeout_s, every_s=0.02)


def held(lab: Notebook, queue: str) -> int:
    """Dead letters that a queue keeps until they are confirmed elsewhere; as old as the broker's last report."""
    found = lab.vhost.management.queue(lab.vhost.name, queue)
    return found.messages - found.messages_ready - found.messages_unacknowledged


def wait_until_held(lab: Notebook, queue: str) -> bool:
    """Wait until the broker reports a dead letter that a queue keeps; False if it never does."""
    return wait_until(lambda: held(lab, queue) == 1, timeout_s=30, every_s=0.2)


def topology_of(lab: Notebook, prefix: str, *, title: str) -> Picture:
    """Draw only the queues whose names begin like that."""
    queues = [queue for queue in snapshot(lab.vhost).queues if queue.name.startswith(prefix)]
    return draw(Snapshot((), tuple(queues), ()), title=title)


def _channel(url: str) -> BlockingChannel:
    """A channel that confirms, on a connection of its own."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.confirm_delivery()
    return channel
