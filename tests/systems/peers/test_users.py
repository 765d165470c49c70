"""The user service: who asks gets a profile or a typed error, and a user and his event are there together."""

from __future__ import annotations

import asyncio
import json

import pytest

from labs.errors import RpcTimeout, Unroutable
from labs.systems.peers import topology as names
from tests.systems.peers.bench import PROFILE, Peers


async def test_a_user_is_created_with_the_event_that_tells_of_him(peers: Peers) -> None:
    async with peers.serving("user"):
        assert await peers.create(7, username="ada") == {"user_id": 7, "username": "ada", "profile_data": PROFILE}
    [event] = await peers.rows("SELECT exchange, routing_key, type, body, consumers FROM outbox")
    body = json.loads(event.pop("body"))
    assert event == {
        "exchange": "user.events",
        "routing_key": "user.created",
        "type": "user.created",
        "consumers": ["matching.user_events"],
    }
    assert set(body) == {"user_id", "username", "email", "timestamp"}
    assert (body["user_id"], body["username"], body["email"]) == (7, "ada", "user7@example.org")


async def test_creating_a_user_again_changes_nothing_and_tells_nobody(peers: Peers) -> None:
    async with peers.serving("user"):
        same = await asyncio.gather(*(peers.create(7) for _ in range(10)))
    assert all(each == same[0] for each in same)
    assert len(await peers.rows("SELECT 1 FROM outbox")) == 1


async def test_another_user_of_that_id_or_that_name_is_a_conflict(peers: Peers) -> None:
    user = {"user_id": 7, "username": "user7", "email": "user7@example.org", "profile_data": PROFILE}
    async with peers.serving("user"):
        await peers.create(7)
        for changed in ({"user_id": 8}, {"username": "ada"}, {"email": "other@example.org"}, {"profile_data": {}}):
            assert await peers.code(names.USER_CREATE, **{**user, **changed}) == "conflict"
    assert len(await peers.rows("SELECT 1 FROM peers_users")) == len(await peers.rows("SELECT 1 FROM outbox")) == 1


async def test_a_profile_is_answered_over_rpc_without_the_address(peers: Peers) -> None:
    async with peers.serving("user"):
        await peers.create(7)
        found = await peers.ask("user.profile.get", user_id=7)
    assert found == {"user_id": 7, "username": "user7", "profile_data": PROFILE}


async def test_an_unknown_user_is_a_typed_error(peers: Peers) -> None:
    async with peers.serving("user"):
        assert await peers.code("user.profile.get", user_id=8) == "not-found"


@pytest.mark.parametrize(
    "request_", [{}, {"user_id": "x"}, {"user_id": 0}, {"user_id": 2**31}, {"user_id": None}, {"user_id": [7]}], ids=str
)
async def test_a_bad_request_is_a_typed_error(peers: Peers, request_: dict[str, object]) -> None:
    async with peers.serving("user"):
        assert await peers.code("user.profile.get", **request_) == "malformed"


@pytest.mark.parametrize(
    "changed",
    [
        {"username": " "},
        {"username": "u" * 65},
        {"username": "a\x00b"},
        {"email": "nowhere"},
        {"email": "a b@c"},
        {"profile_data": []},
        {"profile_data": {"x": "\x00"}},
    ],
    ids=str,
)
async def test_a_user_that_cannot_be_is_refused(peers: Peers, changed: dict[str, object]) -> None:
    user = {"user_id": 7, "username": "ada", "email": "ada@example.org", **changed}
    async with peers.serving("user"):
        assert await peers.code(names.USER_CREATE, **user) == "malformed"
    assert await peers.rows("SELECT 1 FROM peers_users") == []


async def test_while_the_user_service_is_down_a_call_times_out(peers: Peers) -> None:
    async with peers.serving("user"):
        await peers.create(7)
    async with peers.client() as client:
        with pytest.raises(RpcTimeout):
            await client.rpc_call("user.profile.get", {"user_id": 7}, timeout_s=0.2)
        with pytest.raises(Unroutable):
            await client.rpc_call("user.profile.never_served", {}, timeout_s=30)
    # And a call that waits meanwhile is answered when it is back.
    waiting = asyncio.create_task(peers.ask("user.profile.get", user_id=7))
    async with peers.serving("user"):
        assert (await waiting)["username"] == "user7"
