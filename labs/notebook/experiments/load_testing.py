"""Chapter 10: the load test that everybody writes first, and a broker that stands still for a moment."""

from __future__ import annotations

import os
import signal
import threading
import time

import pika
import psutil

from labs.broker import Node
from labs.processes import wait_until
from labs.programs import report


def closed_loop(url: str, *, rate: float, count: int) -> None:
    """Publish a message, wait for its confirm, note how long that took, wait for the rest of the gap; and again.

    Args:
        rate: messages per second that are asked for.
        count: of messages.
    """
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("closed.loop", durable=True)
        channel.confirm_delivery()  # from now on basic_publish returns when the broker has answered
        took = []
        report("began")
        for _ in range(count):
            began_s = time.monotonic()
            channel.basic_publish("", "closed.loop", bytes(1000))
            took_s = time.monotonic() - began_s
            took.append((began_s, took_s * 1000))
            time.sleep(max(0.0, 1 / rate - took_s))
        report("ended", took_ms=took)


class Pause:
    """Lets a broker stand still once: its process is stopped (SIGSTOP), and goes on (SIGCONT) as if nothing had been.

    Args:
        node: the broker.
        seconds: how long.
    """

    def __init__(self, node: Node, *, seconds: float) -> None:
        pid = node.pid
        if pid is None:
            raise ValueError("a broker that doesn't run can't stand still: call start() first")
        self._pid, self._seconds = pid, seconds
        self._thread = threading.Thread(target=self._stand_still, daemon=True)
        #: When it really began and ended, in seconds of `time.monotonic`.
        self.began_s = self.ended_s = float("nan")

    def begin(self) -> None:
        """Begin, and don't wait for the end; nothing if it has begun before."""
        if self._thread.ident is None:
            self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    @property
    def length_s(self) -> float:
        """How long it really was."""
        return self.ended_s - self.began_s

    def _stand_still(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(self._pid).status() == psutil.STATUS_STOPPED, timeout_s=1, every_s=0.001)
        self.began_s = time.monotonic()
        try:
            time.sleep(self._seconds)
        finally:
            self.ended_s = time.monotonic()  # before, for afterwards the broker may be quicker than we are
            os.kill(self._pid, signal.SIGCONT)
