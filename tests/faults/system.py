"""A whole system of real processes for one failure test, the load on it, and the check of what became of it."""

from __future__ import annotations

import subprocess
import sys
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

from labs.broker import Management, Node, depth
from labs.llm.dials import Constant
from labs.processes import free_ports, in_background, tail, wait_until
from labs.stack.child import Child
from labs.stack.stack import Stack
from labs.store.asking import Asking
from labs.store.server import PostgresServer
from labs.trial.site import SHORT_WAITS
from tests.faults.faulty import Faulty

SETTINGS: dict[str, object] = {**SHORT_WAITS, "heartbeat_s": 5}
MODEL_MS = 150.0
#: Healing takes seconds; on a machine that is busy with everything else, many.
_DONE_TIMEOUT_S = 180.0
#: Looking costs the machine on which all of it runs.
_LOOK_EVERY_S = 0.2
#: However slowly a busy machine gets on, a test is not to go on for ever.
_SLOWEST_S = 900.0


@dataclass
class System:
    """Broker, database and stack of one test."""

    node: Node
    postgres: PostgresServer
    vhost: str
    database: Asking
    stack: Stack
    http: httpx.Client
    kind: Faulty
    #: Ids of what was asked for and accepted.
    asked: list[str] = field(default_factory=list)
    #: Known also while the API is down.
    api_url: str = ""

    @property
    def amqp_url(self) -> str:
        return amqp_url(self.node, self.vhost)

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        return self.database.rows(query, *parameters)

    def done(self) -> int:
        """How many requests have all their effects."""
        return int(self.rows(f"SELECT count(*) AS n FROM ({self.kind.done}) AS done")[0]["n"])

    def count(self, status: str) -> int:
        """How many jobs have a status; for systems of jobs."""
        return int(self.rows(f"SELECT count(*) AS n FROM {self.kind.table} WHERE status = %s", status)[0]["n"])

    def wait_done(self, least: int) -> None:
        """Wait until that many requests are done."""
        self._wait_while_it_goes_on(lambda: self.done() >= least)

    def share(self, part: float) -> int:
        """So large a part of all requests of a test."""
        return round(part * self.kind.requests)

    def describe(self) -> str:
        jobs = f"SELECT status, count(*) AS n, max(attempts) FROM {self.kind.table} GROUP BY status"
        statuses = self.rows(jobs) if self.kind.table else "none"
        waiting = self.rows("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")
        asked = f"asked {len(self.asked)}, done {self.done()}"
        filled = {name: messages for name, messages in self.depths().items() if messages}
        return "\n".join(
            [
                f"{asked}, jobs {statuses}, unpublished {waiting}, messages {filled}",
                *map(_last_words, self.stack.children),
            ]
        )

    def wait_ended(self) -> None:
        """Wait until every request is done, or its job has failed."""

        def ended() -> bool:
            failed = self.count("failed") if self.kind.table else 0
            return self.done() + failed == len(self.asked)

        self._wait_while_it_goes_on(ended)

    def _wait_while_it_goes_on(self, condition: Callable[[], bool]) -> None:
        """A busy machine may take its time, but something has to become done now and then."""
        latest = time.monotonic() + _SLOWEST_S
        while time.monotonic() < latest:
            before = self.done()
            if wait_until(condition, timeout_s=_DONE_TIMEOUT_S, every_s=_LOOK_EVERY_S):
                return
            assert self.done() > before, self.describe()
        raise AssertionError(self.describe())

    def start_worker(self, **overrides: object) -> Child:
        """Start one more process that handles the messages."""
        if self.kind.worker == "worker":
            return self.stack.start_worker(**overrides)
        return self.stack.start_service(self.kind.worker, **overrides)

    def workers(self) -> list[Child]:
        """Those that run."""
        return self.stack.of(self.kind.worker)

    def kill_broker(self) -> None:
        """SIGKILL, but not before the queues have reached the disk: else they may be gone, which is another story."""
        self.node.settle()
        self.node.kill()

    def depths(self) -> dict[str, int]:
        with Management(self.node.management_url) as management:
            names = [queue.name for queue in management.queues(self.vhost)]
        return {name: depth(self.amqp_url, name, timeout_s=60).messages for name in names}

    def post(self, number: int, *, marker: str = "") -> str:
        """Post a request, repeating it with the same Idempotency-Key until it is accepted, as a good client does."""
        key = str(uuid.uuid4())
        body = self.kind.body(number, marker)
        headers = {
            "Authorization": f"Bearer {self.stack.token(user_id=self.kind.user(number))}",
            "Idempotency-Key": key,
        }
        accepted, id_field = self.kind.accepted
        ids: list[str] = []

        def is_accepted() -> bool:
            try:
                response = self.http.post(f"{self.api_url}{self.kind.route}", json=body, headers=headers)
            except httpx.TransportError:
                return False
            if response.status_code == accepted:
                ids.append(str(response.json()[id_field]))
                return True
            assert response.status_code in (503, 504), response.text
            return False

        assert wait_until(is_accepted, timeout_s=_DONE_TIMEOUT_S, every_s=0.1), "a request was not accepted in time"
        self.asked += ids
        return ids[0]

    def redrive_until_done(self) -> None:
        """Do what an operator does: `labs dlq redrive`, until everything is done."""
        for _ in range(20):
            subprocess.run(
                [sys.executable, "-m", "labs", "dlq", "redrive", self.kind.queues[0], "--yes"],
                env=self.stack.environment(),
                check=True,
                capture_output=True,
            )
            if wait_until(lambda: self.done() == len(self.asked), timeout_s=3):
                return
        raise AssertionError(self.describe())

    @contextmanager
    def load(self, requests: int | None = None) -> Iterator[None]:
        """Post requests from a few threads for as long as the block takes, and all of them by its end."""
        requests = requests or self.kind.requests
        with ThreadPoolExecutor(6) as pool:
            posted = [pool.submit(self.post, number) for number in range(requests)]
            yield
            for done in posted:
                done.result(timeout=_DONE_TIMEOUT_S)

    def assert_each_done_exactly_once(self, requests: int | None = None) -> None:
        """One result and one event for each accepted request, every event handled once, nothing left anywhere."""
        requests = requests or self.kind.requests
        self.wait_done(requests)
        assert len(set(self.asked)) == requests
        self._assert_one_of_each(requests)
        unpublished = "SELECT count(*) AS n FROM outbox WHERE published_at IS NULL"
        self._wait(lambda: self.rows(unpublished)[0]["n"] == 0)
        self._wait(lambda: not any(self.depths().values()))

    def _wait(self, condition: Callable[[], bool]) -> None:
        assert wait_until(condition, timeout_s=_DONE_TIMEOUT_S, every_s=_LOOK_EVERY_S), self.describe()

    def _assert_one_of_each(self, requests: int) -> None:
        events = self.rows("SELECT message_id FROM outbox WHERE type = %s", self.kind.event)
        assert len(events) == requests
        self._wait(lambda: self._effects() == {requests})
        self.kind.check(self, requests)

    def _effects(self) -> set[int]:
        query = (
            "SELECT count(*) AS n FROM inbox i JOIN outbox o USING (message_id) "
            "WHERE o.type = %s AND i.consumer = %s AND i.outcome = 'done'"
        )
        return {int(self.rows(query, self.kind.event, queue)[0]["n"]) for queue in self.kind.consumers}


def _last_words(child: Child) -> str:
    return f"--- {child.name}, {'running' if child.is_running else 'ended'}, says last:\n{tail(child.log)}"


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
    # An API that is killed needs its port again: not one that others are given at random.
    ports: dict[str, object] = {"api_port": free_ports(1, seed=name)[0]}
    stack = Stack(amqp_url(node, name), database_url, folder=folder, settings={**SETTINGS, **ports, **settings})
    http = httpx.Client(timeout=30, trust_env=False)
    database = Asking(database_url)
    system = System(node, postgres, name, database, stack, http, kind)
    try:
        stack.start(workers=workers if kind.worker == "worker" else 0, services=kind.beside)
        system.api_url = stack.api_url
        stack.stub.set_dials(latency=Constant(ms=MODEL_MS))
        for _ in range(workers if kind.worker != "worker" else 0):
            system.start_worker()
        with http:
            yield system
    finally:
        database.close()
        stack.stop()
        node.start()
        postgres.start()
        with Management(node.management_url) as management:
            management.delete_virtual_host(name)
        postgres.drop_database(name)


@contextmanager
def repeatedly(action: Callable[[], None], *, every_s: float) -> Iterator[None]:
    """Do something again and again in the background, for the length of a block."""

    def run(stop: threading.Event) -> None:
        while not stop.wait(every_s):
            action()

    with in_background(run, name="repeatedly"):
        yield
