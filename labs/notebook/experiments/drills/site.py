"""Where a fault strikes: a notebook's system, and the handles by which each of its parts can be broken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pika
import psycopg

from labs.notebook.letters import NoAnswer
from labs.notebook.session import Notebook
from labs.processes import wait_until
from labs.stack.child import Child
from labs.systems.cover_letters.topology import GENERATE_QUEUE

_TIMEOUT_S = 10.0
_BUSIEST = """
SELECT worker FROM cover_letter_jobs WHERE status = 'processing' AND lease_until > clock_timestamp()
GROUP BY worker ORDER BY count(*) DESC LIMIT 1
"""


@dataclass(frozen=True)
class Site:
    """A system under drill.

    Args:
        lab: whose `start` has been called, with a broker and a database of its own.
        begins: to be called by a fault in the moment in which it breaks something.
        burst: lets so many users ask at once; returns when all have been accepted.
    """

    lab: Notebook
    begins: Callable[[], None]
    burst: Callable[[int], None]

    def busy_worker(self) -> Child:
        """A worker that is at a job now.

        Raises:
            NoAnswer: none was, for long.
        """
        with psycopg.connect(self.lab.database_url, autocommit=True) as db:
            deadline = time.monotonic() + _TIMEOUT_S
            while time.monotonic() < deadline:
                row = db.execute(_BUSIEST).fetchone()
                pid = row[0].rpartition(":")[2] if row else ""
                for worker in self.lab.stack.of("worker"):
                    if str(worker.pid) == pid:
                        return worker
        raise NoAnswer("no worker took a job: see the logs of the processes")

    @contextmanager
    def channel(self) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
        """A channel for looking at queues."""
        with pika.BlockingConnection(pika.URLParameters(self.lab.amqp_url)) as connection:
            yield connection.channel()

    def wait_for_ready(self, least: int) -> None:
        """Wait until so many messages lie in the work queue, which nobody has taken yet.

        Raises:
            NoAnswer: they never did.
        """
        with self.channel() as channel:

            def ready() -> bool:
                return int(channel.queue_declare(GENERATE_QUEUE, passive=True).method.message_count) >= least

            if not wait_until(ready, timeout_s=_TIMEOUT_S, every_s=0.005):
                raise NoAnswer(f"there were never {least} messages in {GENERATE_QUEUE}")
