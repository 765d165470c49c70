"""The place of a trial: a broker and a database that it may break, one system on them, and the tap in between.

Nobody else's broker or database is touched: the node and the server are the trial's own. A clock for both: what the
database says happened at a time of day is put on the monotonic clock, by which everything else is written down.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from labs.broker import Management
from labs.errors import LabError
from labs.llm.dials import Constant, Dials
from labs.processes import free_ports, wait_until
from labs.stack.child import Child
from labs.stack.stack import Stack
from labs.store.asking import Asking
from labs.trial.history import History
from labs.trial.operations import Promises
from labs.trial.servers import BrokerServer, Servers
from labs.trial.subjects import Subject
from labs.trial.tap import Tap

#: Short waits, so that what a fault breaks heals within seconds; the same code runs with the defaults.
SHORT_WAITS: dict[str, object] = {
    "lease_s": 2,
    "relay_lease_s": 2,
    "retry_delays_ms": (100, 200, 400),
    "reconcile_after_s": 3,
    "publish_timeout_s": 5,
    "prefetch": 30,
    "model_timeout_s": 2,
    "rate_limit": "100000/minute",
    "resumes_per_hour": 100_000,
}
SETTINGS: dict[str, object] = {**SHORT_WAITS, "heartbeat_s": 3, "grace_s": 5}
MODEL = Dials(latency=Constant(ms=150), retry_after_s=0.1)
_RELAY_BATCH = 200
_SEEN_TIMEOUT_S = 60.0
_CLOCK_READINGS = 10


class TrialFailed(LabError):
    """The trial itself could not be run: nothing is said of the system on trial."""


class Site:
    """One system on the servers, in a virtual host and a database of its own."""

    def __init__(
        self,
        servers: Servers,
        subject: Subject,
        history: History,
        stack: Stack,
        tap: Tap,
        *,
        vhost: str,
        database_url: str,
        crew: int,
    ) -> None:
        self.node = servers.node
        self.postgres = servers.postgres
        self.subject = subject
        self.history = history
        self.stack = stack
        #: All that the system says to the broker, and is told by it, passes here.
        self.tap = tap
        self.vhost = vhost
        self.database_url = database_url
        self.database = Asking(database_url)
        #: Workers that run when all is well, each with a consumer of every queue.
        self.crew = crew
        #: Known also while the API is down.
        self.api_url = ""

    @property
    def amqp_url(self) -> str:
        """The virtual host's, by way of the tap, as the system has it."""
        return _through(self.tap, self.node, self.vhost)

    @property
    def direct_url(self) -> str:
        """The virtual host's, past the tap, as an operator has it."""
        return f"{self.node.amqp_url.rpartition('/')[0]}/{self.vhost}"

    @property
    def queue(self) -> str:
        """Where a request's first message goes."""
        return self.subject.queues[0]

    def promises(self) -> Promises:
        """What this system promises with these settings."""
        delays: Any = SETTINGS["retry_delays_ms"]
        return Promises(
            queues=self.subject.queues,
            jobs=bool(self.subject.table),
            asks_model=self.subject.asks_model,
            retry_delays_ms=tuple(delays),
            grace_s=float(str(SETTINGS["grace_s"])),
            unconfirmed=_RELAY_BATCH,
            prefetch=self.subject.prefetch or int(str(SETTINGS["prefetch"])),
            consumers=dict.fromkeys(self.subject.queues, self.crew),
        )

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """What the database answers."""
        return self.database.rows(query, *parameters)

    def workers(self) -> list[Child]:
        """The processes that handle the messages and run."""
        return self.stack.of(self.subject.worker)

    def launch_worker(self, **overrides: object) -> Child:
        """Start one more, and don't wait until it is ready: it may be meant to die before."""
        kind = self.subject.worker
        return self.stack.launch(kind, name=f"{kind}-{len(self.stack.children)}", **overrides)

    def start_worker(self, **overrides: object) -> Child:
        """Start one more."""
        if self.subject.worker == "worker":
            return self.stack.start_worker(**overrides)
        return self.stack.start_service(self.subject.worker, **overrides)

    @contextmanager
    def management(self) -> Iterator[Management]:
        """The broker's management API."""
        with Management(self.node.management_url) as management:
            yield management

    def consumers(self) -> dict[str, int]:
        """How many consumers each work queue has."""
        with self.management() as management:
            queues = [consumer.queue.name for consumer in management.consumers(self.vhost)]
        return {queue: queues.count(queue) for queue in self.subject.queues}

    def consumers_missing(self) -> int:
        """Over all queues."""
        return sum(max(0, self.crew - number) for number in self.consumers().values())

    def seen(self, condition: Callable[[], bool], what: str, *, timeout_s: float = _SEEN_TIMEOUT_S) -> str:
        """Wait until something is seen from outside; returns what.

        Raises:
            TrialFailed: it was not seen.
        """
        if not wait_until(condition, timeout_s=timeout_s):
            raise TrialFailed(f"not seen within {timeout_s:g} s: {what}")
        return what


def clock_offset_ns() -> int:
    """What to take from a time of day (ns since the epoch) to have one of the monotonic clock.

    The clocks are read one after the other, and the process may be interrupted in between: the best of some readings.
    """
    _, offset_ns = min(_clock_reading() for _ in range(_CLOCK_READINGS))
    return offset_ns


def _clock_reading() -> tuple[int, int]:
    """How long it took to read both clocks, and what they differ by."""
    before_ns, day_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
    return after_ns - before_ns, day_ns - (before_ns + after_ns) // 2


def monotonic_ns(at: datetime, *, offset_ns: int) -> int:
    """A time of the database on the monotonic clock."""
    return round(at.timestamp() * 1_000_000) * 1000 - offset_ns


@contextmanager
def running_site(
    servers: Servers, subject: Subject, history: History, *, folder: Path, workers: int = 2
) -> Iterator[Site]:
    """A system for the length of a block; everything that ran in it is ended, and what it kept is deleted."""
    name = f"trial-{uuid.uuid4().hex[:8]}"
    node, postgres = servers.node, servers.postgres
    with Management(node.management_url) as management:
        management.create_virtual_host(name)
    database_url = postgres.create_database(name)
    # An API that is killed needs its port again: not one that others are given at random.
    settings = {**SETTINGS, "api_port": free_ports(1, seed=name)[0]}
    with Tap(history, broker_port=urlsplit(node.amqp_url).port or 5672) as tap:
        stack = Stack(_through(tap, node, name), database_url, folder=folder, settings=settings)
        site = Site(servers, subject, history, stack, tap, vhost=name, database_url=database_url, crew=workers)
        try:
            _start(site)
            yield site
        finally:
            with ExitStack() as ending:  # whatever of it fails, the rest is done
                ending.callback(postgres.drop_database, name)
                ending.callback(postgres.start)
                ending.callback(_delete, node, name)
                ending.callback(node.start)
                ending.callback(stack.stop)
                ending.callback(site.database.close)


def _delete(node: BrokerServer, vhost: str) -> None:
    with Management(node.management_url) as management:
        management.delete_virtual_host(vhost)


def _through(tap: Tap, node: BrokerServer, vhost: str) -> str:
    credentials = urlsplit(node.amqp_url).netloc.rpartition("@")[0]
    return f"amqp://{credentials}@127.0.0.1:{tap.port}/{vhost}"


def _start(site: Site) -> None:
    ours = site.subject.worker != "worker"
    site.stack.start(workers=0 if ours else site.crew, services=site.subject.beside)
    site.api_url = site.stack.api_url
    with site.stack.stub as stub:
        stub.set_dials(MODEL)
    for _ in range(site.crew if ours else 0):
        site.start_worker()
    site.seen(lambda: not site.consumers_missing(), "every queue has its consumers")
