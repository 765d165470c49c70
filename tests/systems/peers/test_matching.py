"""The matching service: one profile for each new user, whatever happens, and peers who share a topic."""

from __future__ import annotations

import asyncio

import pytest
from pika.spec import BasicProperties

from labs.messaging.dead_letters import browse
from labs.messaging.topology import dead_letter_queue
from labs.systems.peers import matching
from labs.systems.peers import topology as names
from labs.systems.peers.messages import USER_CREATED, UserCreated
from tests.systems.peers.bench import Peers
from tests.waiting import eventually
from tests.workbench import tell

EVERY = ("user", "matching", "collaboration")
USER = {"user_id": 7, "username": "ada", "email": "ada@example.org", "timestamp": "2026-11-28T09:30:00"}


async def profiles(peers: Peers) -> list[int]:
    return [row["user_id"] for row in await peers.rows("SELECT user_id FROM peers_matching ORDER BY user_id")]


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may be slow to answer, and is not to be taken for a service that is away."""
    monkeypatch.setattr(matching, "_CALL_TIMEOUT_S", 30.0)


async def known(peers: Peers, *user_ids: int) -> None:
    """Wait until these users have matching profiles."""

    async def all_there() -> bool:
        return await profiles(peers) == sorted(user_ids)

    await eventually(all_there)


async def test_a_new_user_gets_a_matching_profile(peers: Peers) -> None:
    async with peers.serving("user", "matching"), peers.relaying():
        for user_id in (7, 8):
            await peers.create(user_id)
        await known(peers, 7, 8)


async def test_users_created_while_the_matching_service_is_down_get_theirs_later(peers: Peers) -> None:
    async with peers.serving("user"), peers.relaying():
        for user_id in range(1, 11):
            await peers.create(user_id)

        async def published() -> bool:
            return await peers.rows("SELECT 1 FROM outbox WHERE published_at IS NULL") == []

        await eventually(published)
    assert await profiles(peers) == []
    async with peers.serving("matching"):
        await known(peers, *range(1, 11))


async def test_an_event_that_comes_twice_makes_one_profile(peers: Peers) -> None:
    message = USER_CREATED.message(UserCreated.model_validate(USER))
    async with peers.serving("matching"), peers.client() as client:
        # The same message delivered twice, and the same fact told twice
        for _ in range(2):
            await tell(peers.url, "user.created", message.body, message.properties(), exchange=names.USER_EVENTS)
        for _ in range(2):
            await client.publish_message("user.events", "user.created", USER)
        await client.publish_message("user.events", "user.created", {**USER, "user_id": 8})
        await known(peers, 7, 8)

        async def all_handled() -> bool:
            return len(await peers.rows("SELECT 1 FROM inbox WHERE outcome = 'done'")) == 4

        await eventually(all_handled)
    assert await profiles(peers) == [7, 8]


async def test_an_event_that_is_none_is_dead_lettered_and_recorded(peers: Peers) -> None:
    async with peers.serving("matching"):
        for body in (b"nonsense", b"{}", b'{"user_id": -1}'):
            await tell(peers.url, "user.created", body, BasicProperties(), exchange=names.USER_EVENTS)

        async def buried() -> bool:
            return len(await browse(peers.url, dead_letter_queue(names.MATCHING_QUEUE))) == 3

        await eventually(buried)
    assert await profiles(peers) == []


async def test_two_users_who_share_a_topic_are_matched_and_get_a_session(peers: Peers, unhurried: None) -> None:
    async with peers.serving(*EVERY), peers.relaying():
        await peers.create(1, profile_data={"topics": ["graphs"]})
        await peers.create(2, profile_data={"topics": ["sorting"]})
        await peers.create(3, profile_data={"topics": ["graphs", "sorting"]})
        await peers.create(4, profile_data={"topics": ["graphs"]})
        await known(peers, 1, 2, 3, 4)
        waiting = {"status": "waiting", "session_id": None, "peer": None}
        assert await peers.ask(names.MATCH_FIND, user_id=1) == waiting
        assert await peers.ask(names.MATCH_FIND, user_id=2) == waiting, "nothing in common with who waits"
        found = await peers.ask(names.MATCH_FIND, user_id=4)
        assert (found["status"], found["peer"]["username"]) == ("matched", "user1")
        # The one who waited finds the same session; asking again changes nothing.
        for _ in range(2):
            other = await peers.ask(names.MATCH_FIND, user_id=1)
            assert (other["session_id"], other["peer"]["user_id"]) == (found["session_id"], 4)
        assert (await peers.ask(names.MATCH_FIND, user_id=3))["peer"]["user_id"] == 2
        # Both may take part, and nobody else.
        for user_id in (1, 4):
            joined = await peers.ask(names.SESSION_JOIN, session_id=found["session_id"], user_id=user_id, client="1")
            assert joined["last_sequence"] == 0
        assert (
            await peers.code(names.SESSION_JOIN, session_id=found["session_id"], user_id=3, client="1") == "not-found"
        )
        # Who leaves waits for another one; leaving again leaves nothing else.
        for _ in range(2):
            assert await peers.ask(names.MATCH_FIND, user_id=1, leave=found["session_id"]) == waiting


async def test_many_who_ask_at_once_are_paired_each_with_one(peers: Peers, unhurried: None) -> None:
    users = range(1, 11)
    async with peers.serving(*EVERY), peers.relaying():
        await asyncio.gather(*(peers.create(user_id) for user_id in users))
        await known(peers, *users)

        async def all_matched() -> bool:
            found = await asyncio.gather(*(peers.ask(names.MATCH_FIND, user_id=user_id) for user_id in users))
            return all(each["status"] == "matched" for each in found)

        await eventually(all_matched)
    pairs = await peers.rows("SELECT user_id, peer_id, session_id FROM peers_matching")
    peer_of = {row["user_id"]: row["peer_id"] for row in pairs}
    assert all(peer_of[peer_of[user_id]] == user_id != peer_of[user_id] for user_id in users)
    assert len({row["session_id"] for row in pairs}) == 5


async def test_without_the_user_service_nobody_is_matched_and_the_caller_is_told(peers: Peers) -> None:
    async with peers.serving("user", "matching"), peers.relaying():
        await peers.create(1)
        await known(peers, 1)
    async with peers.serving("matching"):
        assert await peers.code(names.MATCH_FIND, user_id=1) == "unavailable"
        assert await peers.code(names.MATCH_FIND, user_id=2) == "not-found"
        assert await peers.code(names.MATCH_FIND, user_id=1, leave="a.b") == "malformed"


async def test_a_session_that_could_not_be_opened_is_opened_by_who_asks_next(
    peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with peers.serving("user", "matching"), peers.relaying():
        for user_id in (1, 2):
            await peers.create(user_id)
        await known(peers, 1, 2)
        await peers.ask(names.MATCH_FIND, user_id=1)
        assert await peers.code(names.MATCH_FIND, user_id=2) == "unavailable"
        monkeypatch.setattr(matching, "_CALL_TIMEOUT_S", 30.0)
        async with peers.serving("collaboration"):
            found = await peers.ask(names.MATCH_FIND, user_id=1)
            await peers.ask(names.SESSION_JOIN, session_id=found["session_id"], user_id=2, client="1")
