"""A whole system of real processes for one failure test, the load on it, and the check of what became of it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from labs.broker import Management, Node, depth
from labs.broker.node import SETTLE_S
from labs.llm.dials import Constant
from labs.processes import wait_until
from labs.stack.stack import Stack
from labs.store.server import PostgresServer
from tests.faults.faulty import Faulty

#: Short waits, so that a failure heals within a test; the same code runs with the defaults.
SETTINGS: dict[str, object] = {
    "lease_s": 2,
    "relay_lease_s": 2,
    "retry_delays_ms": (100, 200, 400),
    "reconcile_after_s": 3,
    "publish_timeout_s": 5,
    "prefetch": 30,
    "model_timeout_s": 2,
    "rate_limit": "100000/minute",
    "resumes_per_hour": 100_000,
    "heartbeat_s": 5,
}
MODEL_MS = 150.0
#: Healing takes seconds; on a machine that is busy with everything else, many.
_DONE_TIMEOUT_S = 180.0


@dataclass
class System:
    """Broker, database and stack of one test."""

    node: Node
    postgres: PostgresServer
    vhost: str
    database_url: str
    stack: Stack
    http: httpx.Client
    kind: Faulty
    jobs: list[str] = field(default_factory=list)
    declared_s: float = 0.0
    #: Known also while the API is down.
    api_url: str = ""

    @property
    def amqp_url(self) -> str:
        return amqp_url(self.node, self.vhost)

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.database_url, row_factory=dict_row) as db:
            return db.execute(query, parameters).fetchall()  # type: ignore[arg-type]

    def count(self, status: str) -> int:
        return int(self.rows(f"SELECT count(*) AS n FROM {self.kind.table} WHERE status = %s", status)[0]["n"])

    def wait_completed(self, least: int) -> None:
        """Wait until that many jobs are completed."""
        assert wait_until(lambda: self.count("completed") >= least, timeout_s=_DONE_TIMEOUT_S), self.describe()

    def describe(self) -> str:
        statuses = self.rows(f"SELECT status, count(*) AS n, max(attempts) FROM {self.kind.table} GROUP BY status")
        waiting = self.rows("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")
        return f"jobs {statuses}, unpublished {waiting}, queues {self.depths()}"

    def wait_ended(self) -> None:
        """Wait until every job is completed or failed."""

        def ended() -> bool:
            return self.count("completed") + self.count("failed") == len(self.jobs)

        assert wait_until(ended, timeout_s=_DONE_TIMEOUT_S), self.describe()

    def kill_broker(self) -> None:
        """SIGKILL, but not before the queues have reached the disk: else they may be gone, which is another story."""
        settled_s = self.declared_s + SETTLE_S
        assert wait_until(lambda: time.monotonic() > settled_s, timeout_s=2 * SETTLE_S)
        self.node.kill()

    def depths(self) -> dict[str, int]:
        with Management(self.node.management_url) as management:
            names = [queue.name for queue in management.queues(self.vhost)]
        return {name: depth(self.amqp_url, name).messages for name in names}

    def post(self, number: int, *, marker: str = "") -> str:
        """Post a job, repeating it with the same Idempotency-Key until it is accepted, as a good client does."""
        key = str(uuid.uuid4())
        body = self.kind.body(number, marker)
        headers = {"Authorization": f"Bearer {self.stack.token(user_id=1 + number % 7)}", "Idempotency-Key": key}
        deadline = time.monotonic() + _DONE_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                response = self.http.post(f"{self.api_url}{self.kind.route}", json=body, headers=headers)
            except httpx.TransportError:
                continue
            if response.status_code == 202:
                job_id = str(response.json()["jobId"])
                self.jobs.append(job_id)
                return job_id
            assert response.status_code == 503, response.text
            time.sleep(0.1)
        raise AssertionError("a job was not accepted in time")

    @contextmanager
    def load(self, jobs: int | None = None) -> Iterator[None]:
        """Post jobs from a few threads for as long as the block takes, and all of them by its end."""
        jobs = jobs or self.kind.jobs
        with ThreadPoolExecutor(6) as pool:
            posted = [pool.submit(self.post, number) for number in range(jobs)]
            yield
            for done in posted:
                done.result(timeout=_DONE_TIMEOUT_S)

    def assert_each_completed_exactly_once(self, jobs: int | None = None) -> None:
        """One result and one event for each accepted job, every event handled once, nothing left anywhere."""
        jobs = jobs or self.kind.jobs
        self.wait_completed(jobs)
        assert len(set(self.jobs)) == jobs
        assert {row["status"] for row in self.rows(f"SELECT status FROM {self.kind.table}")} == {"completed"}
        self._assert_one_of_each(jobs)
        unpublished = "SELECT count(*) AS n FROM outbox WHERE published_at IS NULL"
        assert wait_until(lambda: self.rows(unpublished)[0]["n"] == 0, timeout_s=_DONE_TIMEOUT_S), self.describe()
        assert wait_until(lambda: not any(self.depths().values()), timeout_s=_DONE_TIMEOUT_S), self.describe()

    def _assert_one_of_each(self, jobs: int) -> None:
        completions = self.rows("SELECT job_id FROM job_history WHERE step = 'completed'")
        assert sorted(row["job_id"] for row in completions) == sorted(self.jobs)
        events = self.rows("SELECT message_id FROM outbox WHERE type = %s", self.kind.completed)
        assert len(events) == jobs
        assert wait_until(lambda: self._effects() == {jobs}, timeout_s=_DONE_TIMEOUT_S), self.describe()
        self.kind.check(self, jobs)

    def _effects(self) -> set[int]:
        query = (
            "SELECT count(*) AS n FROM inbox i JOIN outbox o USING (message_id) "
            "WHERE o.type = %s AND i.consumer = %s AND i.outcome = 'done'"
        )
        return {int(self.rows(query, self.kind.completed, queue)[0]["n"]) for queue in self.kind.consumers}


def amqp_url(node: Node, vhost: str) -> str:
    return f"{node.amqp_url.rsplit('/', 1)[0]}/{vhost}"


@contextmanager
def running_system(
    node: Node, postgres: PostgresServer, kind: Faulty, *, folder: Path, workers: int = 1, **settings: object
) -> Iterator[System]:
    """A system with a virtual host and a database of its own."""
    name = f"t{uuid.uuid4().hex[:8]}"
    with Management(node.management_url) as management:
        management.create_virtual_host(name)
    database_url = postgres.create_database(name)
    stack = Stack(amqp_url(node, name), database_url, folder=folder, settings={**SETTINGS, **settings})
    http = httpx.Client(timeout=30, trust_env=False)
    system = System(node, postgres, name, database_url, stack, http, kind)
    try:
        stack.start(workers=workers)
        system.declared_s = time.monotonic()
        system.api_url = stack.api_url
        stack.stub.set_dials(latency=Constant(ms=MODEL_MS))
        with http:
            yield system
    finally:
        stack.stop()
        node.start()
        postgres.start()
        with Management(node.management_url) as management:
            management.delete_virtual_host(name)
        postgres.drop_database(name)


@contextmanager
def repeatedly(action: Callable[[], None], *, every_s: float) -> Iterator[None]:
    """Do something again and again in the background, for the length of a block."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every_s):
            action()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
