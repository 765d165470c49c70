"""The peers' routes over HTTP: users, matches and sessions, each answered by a service behind the broker."""

from __future__ import annotations

from functools import partial
from itertools import islice

import httpx
import pytest

from labs.systems.registry import services
from tests.service.conftest import Service, assert_problem
from tests.service.peers import PEERS, a_pair, answered, become_peer, events


@pytest.fixture(scope="session")
def peers(service: Service) -> Service:
    """The shared service, with the peers' processes."""
    for name in services():
        service.stack.start_service(name)
    return service


@pytest.fixture
def client(peers: Service, client: httpx.Client) -> httpx.Client:
    return client


USER = {"username": "ada", "email": "ada@example.org"}


def test_a_user_is_created_and_others_may_know_him(peers: Service, client: httpx.Client) -> None:
    created = become_peer(client, topic="graphs")
    with peers.client() as other:
        found = answered(lambda: other.get(f"{PEERS}/users/{created['user_id']}/profile"))
    assert found.status_code == 200
    assert found.json() == created
    assert set(created) == {"user_id", "username", "profile_data"}
    # The same again is no error, and something else is.
    user = {"username": created["username"], "email": f"{created['username']}@example.org"}
    profile_data = created["profile_data"]
    again = {**user, "profile_data": profile_data}
    assert answered(lambda: client.post(f"{PEERS}/users", json=again)).status_code == 201
    assert_problem(answered(lambda: client.post(f"{PEERS}/users", json=user)), 409)


def test_an_unknown_user_is_a_404(client: httpx.Client) -> None:
    problem = assert_problem(answered(lambda: client.get(f"{PEERS}/users/99999/profile")), 404)
    assert "99999" in problem["detail"]
    assert_problem(answered(lambda: client.post(f"{PEERS}/matches", json={})), 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "username"),
        ({**USER, "username": " "}, "username"),
        ({**USER, "username": "a\x00"}, "username"),
        ({**USER, "username": "u" * 65}, "username"),
        ({**USER, "email": "nowhere"}, "email"),
        ({**USER, "user_id": 1}, "user_id"),
        ({**USER, "profile_data": []}, "profile_data"),
        ({**USER, "profile_data": {"x": "y" * 50_001}}, "profile_data"),
    ],
)
def test_a_user_that_cannot_be_is_refused_with_its_field(client: httpx.Client, body: object, field: str) -> None:
    assert_problem(client.post(f"{PEERS}/users", json=body), 422, field=field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"sequence": 0, "code_delta": "x"}, "sequence"),
        ({"sequence": "one", "code_delta": "x"}, "sequence"),
        ({"sequence": 1}, "code_delta"),
        ({"sequence": 1, "code_delta": 5}, "code_delta"),
        ({"sequence": 1, "code_delta": "x" * 64_001}, "code_delta"),
        ({"sequence": 1, "code_delta": "x", "user_id": 7}, "user_id"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_its_field(client: httpx.Client, body: object, field: str) -> None:
    assert_problem(client.post(f"{PEERS}/sessions/s1/updates", json=body), 422, field=field)


@pytest.mark.parametrize("session_id", ["*", "%23", "a.b", "s1.*", "a%20b", "s" * 65])
def test_a_session_id_that_would_mean_something_to_the_broker_is_refused(client: httpx.Client, session_id: str) -> None:
    path = f"{PEERS}/sessions/{session_id}"
    change = {"sequence": 1, "code_delta": "x"}
    assert_problem(client.post(f"{path}/updates", json=change), 422, field="session_id")
    assert_problem(client.get(f"{path}/events"), 422, field="session_id")
    assert_problem(client.get(f"{PEERS}/sessions/s1/events?client=a.b"), 422, field="client")
    assert_problem(client.post(f"{PEERS}/matches", json={"leave": "a.b"}), 422, field="leave")


def test_without_a_token_there_is_no_answer(peers: Service) -> None:
    with httpx.Client(base_url=peers.stack.api_url, trust_env=False, timeout=60) as stranger:
        for method, path in (
            ("POST", "/users"),
            ("GET", "/users/1/profile"),
            ("POST", "/matches"),
            ("POST", "/sessions/s1/updates"),
            ("GET", "/sessions/s1/events"),
        ):
            body = {"json": {}} if method == "POST" else {}
            assert_problem(stranger.request(method, f"{PEERS}{path}", **body), 401)  # type: ignore[arg-type]


def test_a_change_reaches_both_participants_in_order_and_nobody_else_may_listen_or_speak(peers: Service) -> None:
    with a_pair(peers) as (one, two, path), peers.client() as stranger:
        with one.stream("GET", f"{path}/events") as mine, two.stream("GET", f"{path}/events") as others:
            seen = [events(mine.iter_lines()), events(others.iter_lines())]
            for joined in seen:
                name, data = next(joined)
                assert (name, data["last_sequence"]) == ("joined", 0)
                assert "queue" not in data
            for sequence in range(1, 6):
                for author in (one, two):
                    change = {"sequence": sequence, "code_delta": f"+{sequence}"}
                    done = answered(partial(author.post, f"{path}/updates", json=change))
                    assert done.status_code == 200
            told = [list(islice(each, 10)) for each in seen]
        for stream in told:
            assert {name for name, _ in stream} == {"code_updated"}
            for author in {data["user_id"] for _, data in stream}:
                numbers = [data["sequence"] for _, data in stream if data["user_id"] == author]
                assert numbers == [1, 2, 3, 4, 5]
        change = {"sequence": 1, "code_delta": "+x"}
        assert_problem(answered(lambda: stranger.get(f"{path}/events")), 404)
        assert_problem(answered(lambda: stranger.post(f"{path}/updates", json=change)), 404)
        # The number of the next change is said to who has lost count, and when he comes back.
        problem = assert_problem(answered(lambda: one.post(f"{path}/updates", json={**change, "sequence": 9})), 409)
        assert "number 6" in problem["detail"]
        with one.stream("GET", f"{path}/events?client=later") as later:
            assert next(events(later.iter_lines()))[1]["last_sequence"] == 5


def test_a_stream_that_is_cut_off_misses_nothing(peers: Service) -> None:
    with a_pair(peers) as (one, two, path):
        with two.stream("GET", f"{path}/events") as stream:
            next(events(stream.iter_lines()))
        for sequence in (1, 2, 3):
            change = {"sequence": sequence, "code_delta": "+x"}
            answered(partial(one.post, f"{path}/updates", json=change)).raise_for_status()
        with two.stream("GET", f"{path}/events") as stream:
            told = [data["sequence"] for _, data in islice(events(stream.iter_lines()), 1, 4)]
    assert told == [1, 2, 3]
