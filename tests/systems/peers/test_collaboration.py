"""Sessions: a change reaches every participant of its session and no other, each author's in order, none twice."""

from __future__ import annotations

import asyncio
import json

import pytest

from labs.errors import BrokerUnavailable
from labs.messaging.connection import Connection
from labs.systems.peers import topology as names
from labs.systems.peers.collaboration import Collaboration
from labs.systems.peers.messages import CodeUpdated, JoinSession, Session, UpdateCode
from labs.systems.served import served
from tests.systems.peers.bench import Peers
from tests.waiting import eventually

SERVICE = "collaboration"


def numbers(seen: list[CodeUpdated], user_id: int) -> list[int]:
    return [update.sequence for update in seen if update.user_id == user_id]


async def test_a_change_reaches_every_participant_of_its_session_and_no_other(peers: Peers) -> None:
    async with peers.serving(SERVICE):
        await peers.open("s1", 1, 2)
        await peers.open("s2", 1, 3)
        async with (
            peers.participant("s1", 1) as one,
            peers.participant("s1", 2) as two,
            peers.participant("s1", 2, "other-window") as again,
            peers.participant("s2", 1) as elsewhere,
        ):
            await peers.update("s1", 1, 1, "+a")
            await peers.update("s2", 3, 1, "+b")
            await eventually(lambda: all([one, two, again, elsewhere]))
    for seen in (one, two, again):
        assert [(each.session_id, each.user_id, each.code_delta) for each in seen] == [("s1", 1, "+a")]
    assert [(each.session_id, each.user_id, each.code_delta) for each in elsewhere] == [("s2", 3, "+b")]


async def test_what_is_on_the_wire_is_the_documented_body(peers: Peers) -> None:
    async with peers.serving(SERVICE), peers.client() as client:
        await peers.open("42", 7)
        await peers.ask(names.SESSION_JOIN, session_id="42", user_id=7, client="1")
        await peers.update("42", 7, 1, "+x")
        connection = await Connection.open(peers.url, name="test")
        got = await (await connection.channel()).get(names.participant_queue("42", 7, "1"))
        await connection.close()
        assert client.connected
    assert got is not None
    assert (got[0].exchange, got[0].routing_key) == ("collaboration.events", "session.42.code_updated")
    body = json.loads(got[2])
    assert set(body) == {"session_id", "user_id", "code_delta", "timestamp", "sequence"}
    assert (body["session_id"], body["user_id"], body["code_delta"], body["sequence"]) == ("42", 7, "+x", 1)


async def test_changes_of_many_authors_at_once_come_in_each_authors_order(peers: Peers) -> None:
    authors, changes = (1, 2, 3), range(1, 31)
    # Given two processes of the service, and authors who don't wait for each other,
    async with peers.serving(SERVICE, SERVICE):
        await peers.open("s1", *authors)

        async def write(author: int) -> None:
            for number in changes:
                await peers.update("s1", author, number)

        async with peers.participant("s1", 1) as one, peers.participant("s1", 2) as two:
            await asyncio.gather(*(write(author) for author in authors))
            await eventually(lambda: len(one) >= 90 and len(two) >= 90)
    for seen in (one, two):
        assert all(numbers(seen, author) == list(changes) for author in authors)


async def test_a_change_that_is_sent_again_is_seen_once_and_another_number_is_refused(peers: Peers) -> None:
    async with peers.serving(SERVICE):
        await peers.open("s1", 1)
        async with peers.participant("s1", 1) as seen:
            for _ in range(3):
                assert await peers.update("s1", 1, 1, "+a") == {"session_id": "s1", "sequence": 1}
            change = {"session_id": "s1", "user_id": 1, "code_delta": "+b"}
            for number in (1, 3):
                assert await peers.code(names.SESSION_UPDATE, sequence=number, **change) == "conflict"
            await peers.update("s1", 1, 2, "+b")
            assert await peers.code(names.SESSION_UPDATE, sequence=1, **change) == "conflict"
            await eventually(lambda: len(seen) == 2)
        joined = await peers.ask(names.SESSION_JOIN, session_id="s1", user_id=1, client="1")
    assert [(each.sequence, each.code_delta) for each in seen] == [(1, "+a"), (2, "+b")]
    assert joined["last_sequence"] == 2


async def test_a_change_that_is_published_twice_after_a_crash_is_seen_once(peers: Peers) -> None:
    async with peers.serving(SERVICE):
        await peers.open("s1", 1)
        async with peers.participant("s1", 1) as seen:
            await peers.update("s1", 1, 1, "+a")
            # Given a process that died between the confirm and its commit,
            async with peers.database.connection() as db:
                await db.execute("UPDATE peers_participants SET last_sequence = 0, last_hash = NULL")
            await peers.update("s1", 1, 1, "+a")
            await peers.update("s1", 1, 2, "+b")
            await eventually(lambda: len(seen) == 2)
    assert numbers(seen, 1) == [1, 2]


async def test_who_was_away_for_a_moment_has_missed_nothing(peers: Peers) -> None:
    async with peers.serving(SERVICE):
        await peers.open("s1", 1, 2)
        async with peers.participant("s1", 2) as before:
            await peers.update("s1", 1, 1)
            await eventually(lambda: len(before) == 1)
        for number in range(2, 6):
            await peers.update("s1", 1, number)
        async with peers.participant("s1", 2) as after:
            await eventually(lambda: len(after) >= 4)
    assert numbers([*before, *after], 1) == [1, 2, 3, 4, 5]


async def test_who_joins_again_while_the_service_lacks_something_waits_for_it(peers: Peers) -> None:
    joined: list[JoinSession] = []

    async def join(request: JoinSession) -> Session:
        joined.append(request)
        if len(joined) in (2, 3):  # the first one is not the follower's
            raise BrokerUnavailable("its own connection was lost as well")
        await service.declare(names.participant(request.session_id, request.user_id, request.client))
        return Session(session_id=request.session_id)

    # Given a service that can't do its part twice when a participant joins,
    async with peers.client() as service:
        await service.setup_rpc_server(names.SESSION_JOIN, served(JoinSession, join))
        async with peers.participant("s7", 1) as seen:
            await eventually(lambda: len(joined) == 4)
            # then he follows all the same.
            await Collaboration(peers.database, service).broadcast_code_change(
                UpdateCode(session_id="s7", user_id=2, sequence=1, code_delta="+x")
            )
            await eventually(lambda: bool(seen))
    assert numbers(seen, 2) == [1]


async def test_who_is_no_participant_gets_nothing_and_says_nothing(peers: Peers) -> None:
    async with peers.serving(SERVICE):
        await peers.open("s1", 1)
        change = {"sequence": 1, "code_delta": "+x"}
        for session_id, user_id in (("s1", 2), ("s2", 1)):
            place = {"session_id": session_id, "user_id": user_id}
            assert await peers.code(names.SESSION_JOIN, client="1", **place) == "not-found"
            assert await peers.code(names.SESSION_UPDATE, **change, **place) == "not-found"


@pytest.mark.parametrize("session_id", ["", "*", "#", "a.b", "s1.*", "a b", "é", "s" * 65, "a\n", 7, None], ids=repr)
async def test_a_session_id_that_would_mean_something_in_a_routing_key_is_refused(
    peers: Peers, session_id: object
) -> None:
    async with peers.serving(SERVICE):
        assert await peers.code(names.SESSION_OPEN, session_id=session_id, user_ids=[1]) == "malformed"
        assert await peers.code(names.SESSION_JOIN, session_id=session_id, user_id=1, client="1") == "malformed"
        change = {"user_id": 1, "sequence": 1, "code_delta": "+x"}
        assert await peers.code(names.SESSION_UPDATE, session_id=session_id, **change) == "malformed"
        assert await peers.code(names.SESSION_JOIN, session_id="s1", user_id=1, client=session_id) == "malformed"


async def test_nonsense_in_a_participants_queue_is_dropped(peers: Peers) -> None:
    async with peers.serving(SERVICE), peers.client() as client:
        await peers.open("s1", 1)
        async with peers.participant("s1", 1) as seen:
            await client.publish_message(names.COLLABORATION_EVENTS, "session.s1.code_updated", {"n": 1})
            await peers.update("s1", 1, 1)
            await eventually(lambda: len(seen) == 1)
