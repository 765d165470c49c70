"""Where a drill's figures come from: the database, the broker's queues, its management API, the model's ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import pika
import psycopg
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from labs.broker import Management
from labs.errors import LabError
from labs.llm.control import StubModel
from labs.messaging.topology import dead_letter_queue, retry_queue
from labs.notebook.experiments.drills import metrics
from labs.notebook.experiments.drills.metrics import Metric
from labs.notebook.session import Notebook
from labs.systems.cover_letters.topology import GENERATE_QUEUE

#: The name of the connection that watches: faults leave it alone, and it isn't counted.
WATCHER = "drill watcher"

Figures = Mapping[Metric, float]


class Unanswered(LabError):
    """A part of the system did not answer a probe."""


class Probe(Protocol):
    """One place to ask; used by one thread."""

    every_s: float
    #: 1 while it answers and 0 while it doesn't, if that is worth a line.
    answers: Metric | None

    def look(self) -> Figures:
        """Ask once. Raises `Unanswered`; the next look connects again."""

    def close(self) -> None:
        """Let the connection go."""


_OPEN_JOBS = """
SELECT (SELECT count(*) FROM outbox WHERE published_at IS NULL) AS unpublished,
       count(*) FILTER (WHERE lease_until < clock_timestamp()) AS expired,
       coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS oldest_s
FROM cover_letter_jobs WHERE status IN ('pending', 'processing')
"""


class DatabaseProbe:
    """Unpublished rows, leases that ran out, and the age of the oldest open job."""

    every_s = 0.1
    answers: Metric | None = metrics.DATABASE

    def __init__(self, url: str) -> None:
        self._url = url
        self._db: psycopg.Connection | None = None

    def look(self) -> Figures:
        try:
            if self._db is None:
                self._db = psycopg.connect(self._url, autocommit=True, connect_timeout=2)
            row = self._db.execute(_OPEN_JOBS).fetchone()
        except psycopg.Error as error:
            self.close()
            raise Unanswered(f"the database: {error}") from error
        unpublished, expired, oldest_s = row or (0, 0, 0.0)
        return {metrics.OUTBOX: unpublished, metrics.EXPIRED: expired, metrics.OLDEST: oldest_s}

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None


class QueueProbe:
    """Depths and consumers of this moment, by passive declares."""

    every_s = 0.1
    answers: Metric | None = metrics.BROKER

    def __init__(self, url: str, *, delays_ms: tuple[int, ...]) -> None:
        self._parameters = pika.URLParameters(url)
        self._parameters.client_properties = {"connection_name": WATCHER}
        self._parameters.socket_timeout = self._parameters.stack_timeout = 2.0
        self._retries = [retry_queue(GENERATE_QUEUE, delay_ms) for delay_ms in delays_ms]
        self._channel: BlockingChannel | None = None

    def look(self) -> Figures:
        with self._asking():
            ready, consumers = self._ask(GENERATE_QUEUE)
            return {
                metrics.READY: ready,
                metrics.CONSUMERS: consumers,
                metrics.RETRYING: sum(self._ask(queue)[0] for queue in self._retries),
                metrics.DEAD: self._ask(dead_letter_queue(GENERATE_QUEUE))[0],
            }

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (AMQPError, OSError) as error:
            self.close()
            raise Unanswered(f"the broker: {error!r}") from error

    def _ask(self, queue: str) -> tuple[int, int]:
        try:
            if self._channel is None or self._channel.is_closed:
                self._channel = self._connection().channel()
            answer = self._channel.queue_declare(queue, passive=True).method
        except ChannelClosedByBroker:  # there is no such queue now
            return 0, 0
        return int(answer.message_count), int(answer.consumer_count)

    def _connection(self) -> pika.BlockingConnection:
        if self._channel is not None and self._channel.connection.is_open:
            return self._channel.connection
        return pika.BlockingConnection(self._parameters)

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and channel.connection.is_open:
            with contextlib.suppress(AMQPError, OSError):
                channel.connection.close()


class StatisticsProbe:
    """What only the management API tells; its figures are up to a second old."""

    every_s = 0.2
    answers: Metric | None = None

    def __init__(self, url: str, *, vhost: str) -> None:
        self._management = Management(url, timeout_s=3)
        self._vhost = vhost

    def look(self) -> Figures:
        try:
            queue = self._management.queue(self._vhost, GENERATE_QUEUE)
            connections = self._management.connections(self._vhost)
        except LabError as error:
            raise Unanswered(str(error)) from error
        others = [connection for connection in connections if connection.title != WATCHER]
        return {metrics.UNACKED: queue.messages_unacknowledged, metrics.CONNECTIONS: len(others)}

    def close(self) -> None:
        self._management.close()


class ModelProbe:
    """The stub model's own ledger."""

    every_s = 0.1
    answers: Metric | None = None

    def __init__(self, model: StubModel) -> None:
        self._model = model
        self._failed_before: int | None = None

    def look(self) -> Figures:
        try:
            summary = self._model.summary()
        except LabError as error:
            raise Unanswered(str(error)) from error
        failed = sum(summary.outcomes.values()) - summary.outcomes.get("ok", 0)
        if self._failed_before is None:
            self._failed_before = failed
        return {metrics.CALLS: summary.open, metrics.FAILED_CALLS: failed - self._failed_before}

    def close(self) -> None:
        self._model.close()


def probes_of(lab: Notebook, *, delays_ms: tuple[int, ...]) -> list[Probe]:
    """A probe for every part of a notebook's system."""
    return [
        DatabaseProbe(lab.database_url),
        QueueProbe(lab.amqp_url, delays_ms=delays_ms),
        StatisticsProbe(lab.broker.management_url, vhost=lab.vhost.name),
        ModelProbe(lab.model),
    ]
