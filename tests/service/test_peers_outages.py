"""The peers while a part is away: a service that dies in mid-call, one that is down, and the broker itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from labs.broker import VirtualHost
from labs.processes import wait_until
from labs.systems.registry import services
from tests.service.conftest import Service, assert_problem, make_service
from tests.service.peers import PEERS, a_pair, answered, become_peer, events


@pytest.fixture
def own(vhost: VirtualHost, database_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service that this test may break."""
    made = make_service(vhost.amqp_url, database_url, tmp_path / "logs", rate_limit="10000/minute")
    with made.stack as stack:
        stack.start(workers=0, services=tuple(services()))
        yield made


def test_a_user_service_that_is_killed_in_mid_call_leaves_it_to_the_next_one(own: Service) -> None:
    with own.client() as client:
        user = become_peer(client, topic="graphs")
        # Given a service that dies with the request in its hands,
        [running] = own.stack.of("peers-user")
        running.terminate()
        dying = own.stack.start_service("peers-user", failpoints="peers.profile=kill")
        answers: list[httpx.Response] = []
        path = f"{PEERS}/users/{user['user_id']}/profile"
        asking = threading.Thread(target=lambda: answers.append(client.get(path)))
        asking.start()
        assert dying.wait(timeout_s=60) == -signal.SIGKILL
        # when there is another one, then either it answers in time, or the caller is told that nobody did.
        own.stack.start_service("peers-user")
        asking.join()
        assert answers[0].status_code in {200, 504}
        assert answered(lambda: client.get(path)).json() == user


def test_a_service_that_is_down_is_a_504_and_its_events_wait(own: Service) -> None:
    with own.client() as client, own.client() as other:
        user = become_peer(client, topic="graphs")
        for name in ("peers-user", "peers-matching"):
            [running] = own.stack.of(name)
            running.kill()
        problem = assert_problem(other.get(f"{PEERS}/users/{user['user_id']}/profile"), 504)
        assert "in time" in problem["detail"]
        # Users who are created meanwhile are told of when the matching service is back.
        own.stack.start_service("peers-user")
        body = {"username": "bob", "email": "bob@example.org", "profile_data": {"topics": ["graphs"]}}
        assert answered(lambda: other.post(f"{PEERS}/users", json=body)).status_code == 201
        assert_problem(other.post(f"{PEERS}/matches", json={}), 504)
        own.stack.start_service("peers-matching")
        assert wait_until(lambda: other.post(f"{PEERS}/matches", json={}).status_code == 200, timeout_s=60)
        assert answered(lambda: other.post(f"{PEERS}/matches", json={})).json()["peer"]["user_id"] == user["user_id"]


def test_a_service_that_never_ran_is_a_503_at_once(own: Service, vhost: VirtualHost) -> None:
    own.stack.of("peers-user")[0].terminate()
    vhost.management.delete_queue(vhost.name, "user.profile.get")
    with own.client() as client:
        response = client.get(f"{PEERS}/users/1/profile")
    assert_problem(response, 503)
    assert response.headers["retry-after"]


def test_a_stream_goes_on_over_a_lost_connection_and_ends_with_the_api(own: Service, vhost: VirtualHost) -> None:
    with a_pair(own) as (one, two, path), two.stream("GET", f"{path}/events") as stream:
        seen = events(stream.iter_lines())
        next(seen)
        for sequence in range(1, 11):
            if sequence == 5:  # every connection of every service
                for connection in vhost.management.connections(vhost.name):
                    vhost.management.close_connection(connection.name)
            change = {"sequence": sequence, "code_delta": "+x"}
            assert wait_until(
                lambda: one.post(f"{path}/updates", json=change).status_code == 200,  # noqa: B023 - called here
                timeout_s=60,
            )
        assert [next(seen)[1]["sequence"] for _ in range(10)] == list(range(1, 11))
        own.stack.of("api")[0].terminate()
        assert list(seen) == []


def test_the_services_are_healthy_as_long_as_they_are_connected(own: Service, tmp_path: Path) -> None:
    from labs.processes import free_ports

    [port] = free_ports(1, seed=str(tmp_path))
    own.stack.start_service("peers-matching", metrics_port=port)
    assert httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False, timeout=60).json() == {"status": "ok"}
    metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=60).text
    assert 'lab_deliveries_total{outcome="connects",queue="matching.user_events"} 1.0' in metrics
