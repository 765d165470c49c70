"""One running service for all tests of the HTTP API: real processes, real HTTP, a user of one's own for each test."""

from __future__ import annotations

import contextlib
import itertools
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from psycopg.rows import dict_row

from labs.broker import Broker, virtual_host
from labs.processes import wait_until
from labs.settings import Settings
from labs.stack.child import Child
from labs.stack.stack import Stack

PREFIX = "/api/cover-letter"

#: Strings that no response and no log may ever hold.
SECRET = "jwt-secret-marker-7d1f0a-jwt-secret-marker-7d1f0a-x"
CV_MARKER = "cv-marker-93b2c4"
JOB_MARKER = "job-marker-5e8d17"

LETTER = {"jobDescription": f"Engineer at ACME {JOB_MARKER}", "cvText": f"Ada Lovelace, Python {CV_MARKER}"}

WEBHOOK_SECRET = "webhook-secret-marker-20af5e-webhook-secret-marker"

#: POSTs a user may make in a minute, and resumes in an hour.
RATE = 30
RESUMES_PER_HOUR = 12

_user_ids = itertools.count(1000)


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token, with some changed, or left out by None."""
    good = {"sub": "7", "aud": "careerops", "exp": int(time.time()) + 600}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(key: str | None = SECRET, *, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm)


@dataclass(frozen=True)
class Service:
    """A running service and what its processes log."""

    stack: Stack
    database_url: str
    folder: Path

    def client(self, *, user_id: int | None = None, headers: dict[str, str] | None = None) -> httpx.Client:
        """A client of a new user, if not said otherwise."""
        bearer = {"Authorization": f"Bearer {token(sub=str(user_id or next(_user_ids)))}"}
        address = self.stack.api_url
        return httpx.Client(base_url=address, headers=bearer | (headers or {}), timeout=60, trust_env=False)

    def logs(self) -> str:
        """All that all processes have written."""
        return "\n".join(path.read_text(errors="replace") for path in self.folder.iterdir())

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as db:
            db.execute(statement)  # type: ignore[call-overload]

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """What a query finds."""
        with psycopg.connect(self.database_url, row_factory=dict_row) as db:
            return db.execute(query, parameters).fetchall()  # type: ignore[arg-type]


def make_service(amqp_url: str, database_url: str, folder: Path, **more: object) -> Service:
    """A service that isn't started yet."""
    values = {
        "jwt_secret": SECRET,
        "rate_limit": f"{RATE}/minute",
        "retry_delays_ms": (20, 40, 80),
        "webhook_hosts": ("127.0.0.1", "localhost"),
        "webhook_secret": WEBHOOK_SECRET,
        "resumes_per_hour": RESUMES_PER_HOUR,
        "stub_dials": '{"latency": {"kind": "constant", "ms": 30}}',
        **more,
    }
    return Service(Stack(amqp_url, database_url, folder=folder, settings=values), database_url, folder)


def has_tables(client: httpx.Client, path: str) -> None:
    """Wait until an API that was started on an empty database can answer a GET: it is ready a little before."""
    assert wait_until(lambda: client.get(path).status_code == 200, timeout_s=60)


@contextlib.contextmanager
def standing_still(service: Service, kind: str) -> Iterator[None]:
    """A part gets no further as long as the block lasts."""
    [part] = service.stack.of(kind)
    part.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        part.signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def service(
    broker: Broker, settings: Settings, make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """API, relay, worker and stub model, shared by all tests here."""
    with virtual_host("service", settings=settings) as vhost:
        made = make_service(vhost.amqp_url, make_database(), tmp_path_factory.mktemp("service"))
        with made.stack as stack:
            stack.start()
            yield made


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """A client of a user nobody else is."""
    with service.client() as client:
        yield client


@pytest.fixture
def api_of(service: Service, tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Starts APIs of their own, with these variables changed."""
    started: list[Child] = []

    def start(**variables: str) -> Child:
        child = Child("api", ["api"], environment=service.stack.environment() | variables, folder=tmp_path / "api")
        started.append(child)
        child.wait_ready()
        return child

    yield start
    for child in started:
        child.terminate()


def ask(client: httpx.Client, **changes: Any) -> str:
    """Ask for a letter; returns the job's id."""
    response = client.post(PREFIX, json={**LETTER, **changes})
    assert response.status_code == 202, response.text
    return str(response.json()["jobId"])


def until_ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job, once it has ended."""
    job: dict[str, Any] = {}

    def ended() -> bool:
        job.update(client.get(f"{PREFIX}/status/{job_id}").json())
        return job["status"] in {"completed", "failed"}

    assert wait_until(ended, timeout_s=90), job
    return job


def assert_problem(response: httpx.Response, status: int, *, field: str | None = None) -> dict[str, Any]:
    """The response is a problem document of that status, naming that field; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    if field is not None:
        assert field in {error["field"] for error in body["errors"]}, body
    return body
