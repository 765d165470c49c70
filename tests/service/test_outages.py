"""The API without its database, without its broker, and on its way out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from labs.broker import VirtualHost
from labs.processes import free_ports, wait_until
from labs.stack.child import Child
from labs.store.server import PostgresServer
from tests.service.conftest import LETTER, PREFIX, Service, ask, assert_problem, has_tables, make_service, until_ended


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A database server that a test may stop; it doesn't run yet."""
    made = PostgresServer(tmp_path / "database")
    yield made
    made.remove()


def ready(client: httpx.Client) -> dict[str, str]:
    found: dict[str, str] = client.get("/readyz").json()
    return found


def test_an_api_and_its_streams_outlive_the_database(
    vhost: VirtualHost, server: PostgresServer, tmp_path: Path
) -> None:
    # Given an API that was started before its database,
    service = make_service(vhost.amqp_url, server.url, tmp_path / "logs")
    with service.stack as stack:
        stack.start_api()
        with service.client() as client:
            paths = (
                f"{PREFIX}/jobs",
                f"{PREFIX}/status/x",
                f"{PREFIX}/status/x/events",
                "/readyz",
                "/healthz",
                "/metrics",
            )
            with ThreadPoolExecutor() as pool:
                posted = pool.submit(client.post, PREFIX, json=LETTER)
                *looked, readiness, liveness, metrics = pool.map(client.get, paths)
            for response in (posted.result(), *looked):
                problem = assert_problem(response, 503)
                assert int(response.headers["retry-after"]) >= 1
                assert str(server.home) not in problem["detail"]
            assert (readiness.status_code, readiness.json()["status"]) == (503, "unavailable")
            assert readiness.json()["database"] == "down"
            assert (liveness.status_code, metrics.status_code) == (200, 200)
            # when the database comes, the API makes its tables and works, without a restart;
            server.start()
            assert wait_until(lambda: ready(client)["status"] == "ok", timeout_s=60)
            assert wait_until(lambda: client.post(PREFIX, json=LETTER).status_code == 202, timeout_s=60)
            # when it goes and comes again, so does the API,
            job_id = ask(client)
            with client.stream("GET", f"{PREFIX}/status/{job_id}/events") as stream:
                lines = stream.iter_lines()
                assert _next_status(lines) == "pending"
                server.stop()
                assert_problem(client.post(PREFIX, json=LETTER), 503)
                server.start()
                # and an open stream goes on where it was.
                service.execute(f"UPDATE cover_letter_jobs SET status = 'cancelled' WHERE job_id = '{job_id}'")
                assert _next_status(lines) == "cancelled"
                assert not any(lines)
            assert ask(client)
        assert "Traceback" not in service.logs()


def _next_status(lines: Iterator[str]) -> str:
    data = next(line for line in lines if line.startswith("data:"))
    return str(json.loads(data.removeprefix("data:"))["status"])


def test_without_its_broker_the_api_accepts_and_says_that_it_is_degraded(
    vhost: VirtualHost, database_url: str, tmp_path: Path
) -> None:
    # Given a broker that nobody answers for,
    nobody = f"amqp://guest:guest@127.0.0.1:{free_ports(1, seed=str(tmp_path))[0]}/"
    down = make_service(nobody, database_url, tmp_path / "logs")
    with down.stack as stack:
        stack.start_api()
        with down.client(user_id=5) as client:
            has_tables(client, f"{PREFIX}/jobs")
            degraded = {"status": "degraded", "database": "up", "broker": "down"}
            assert wait_until(lambda: ready(client) == degraded, timeout_s=60)
            assert client.get("/readyz").status_code == 200
            job_id = ask(client)
            assert client.get(f"{PREFIX}/status/{job_id}").json()["status"] == "pending"
    # when the same database meets a broker, the job is done.
    up = make_service(vhost.amqp_url, database_url, tmp_path / "logs")
    with up.stack as stack:
        stack.start()
        with up.client(user_id=5) as client:
            assert until_ended(client, job_id)["status"] == "completed"


def test_with_no_broker_known_at_all_the_api_accepts(
    service: Service, database_url: str, tmp_path: Path, api_of: Callable[..., Child]
) -> None:
    api = api_of(LAB_AMQP_URL="", LAB_HOME=str(tmp_path / "home"), LAB_DATABASE_URL=database_url)
    headers = {"Authorization": f"Bearer {service.stack.token(user_id=3)}"}
    with httpx.Client(base_url=str(api.url), headers=headers, trust_env=False, timeout=60) as client:
        has_tables(client, f"{PREFIX}/jobs")
        assert ready(client)["status"] == "degraded"
        assert client.post(PREFIX, json=LETTER).status_code == 202


def test_an_api_that_is_told_to_end_ends_its_streams_cleanly_and_soon(
    service: Service, api_of: Callable[..., Child], database_url: str
) -> None:
    # Given an open stream of a job that nobody works on,
    api = api_of(LAB_DATABASE_URL=database_url)
    headers = {"Authorization": f"Bearer {service.stack.token(user_id=3)}"}
    with httpx.Client(base_url=str(api.url), headers=headers, timeout=60, trust_env=False) as client:
        has_tables(client, f"{PREFIX}/jobs")
        job_id = ask(client)
        with client.stream("GET", f"{PREFIX}/status/{job_id}/events") as stream:
            lines = stream.iter_lines()
            assert _next_status(lines) == "pending"
            # when the API gets a SIGTERM,
            api.signal(15)
            # then the stream has an end, not a break (httpx raises at one), and the process is gone.
            assert [line for line in lines if line] == []
    assert api.wait(timeout_s=60) == 0
