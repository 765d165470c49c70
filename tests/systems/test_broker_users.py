"""The broker users that Compose makes may do what the systems need; tests/compose proves that they may do no more."""

from __future__ import annotations

import functools
import json
import operator
import re

import pytest

from labs.messaging.client import event_queue
from labs.messaging.rpc.wire import request_queue
from labs.messaging.topology import Topology
from labs.settings import ROOT, Settings
from labs.systems.peers import topology as peers
from labs.systems.registry import SYSTEMS, dead_letter_queues, topology, work_queues

SETTINGS = Settings.model_construct()
DEFINITIONS = json.loads((ROOT / "deploy/rabbitmq/definitions.json").read_text())
LETTERS = set(dead_letter_queues(SETTINGS).values())
#: Exchanges of dead letters: who declares a queue that has one must be allowed to write to it.
BURIAL = {topology(SETTINGS).dead_letter_route(name).exchange for name in work_queues()} - {""}

#: Where calls go, and the pseudo queue from which their replies come.
CALLED, REPLIES = "amq.default", "amq.rabbitmq.reply-to"
PARTICIPANT = peers.participant_queue("s1", 1, "1")
USERS = event_queue(
    peers.MATCHING_QUEUE, exchange=peers.USER_EVENTS, routing_key=peers.USER_CREATED_KEY, settings=SETTINGS
)


def calls(*queues: str) -> Topology:
    return functools.reduce(operator.add, map(request_queue, queues))


#: What each declares.
OWN = {
    "relay": topology(SETTINGS),
    "worker": functools.reduce(operator.add, (each.topology(SETTINGS) for each in SYSTEMS if not each.services)),
    "peers-user": calls(peers.USER_CREATE, peers.PROFILE_GET),
    "peers-matching": USERS + calls(peers.MATCH_FIND),
    "peers-collaboration": peers.participant("s1", 1, "1")
    + calls(peers.SESSION_OPEN, peers.SESSION_JOIN, peers.SESSION_UPDATE),
    "api": Topology(),
}
#: Which exchanges each publishes to, besides the default one.
PUBLISHES = {
    "relay": {exchange.name for exchange in OWN["relay"].exchanges} - {peers.COLLABORATION_EVENTS},
    "worker": BURIAL,
    "peers-collaboration": {peers.COLLABORATION_EVENTS},
}
#: What each reads without having declared it.
READS = {"api": {REPLIES, PARTICIPANT}, "peers-matching": {REPLIES}}


def allowed(user: str, permission: str, names: set[str]) -> set[str]:
    """Those of the names for which a user has the permission."""
    [pattern] = [each[permission] for each in DEFINITIONS["permissions"] if each["user"] == user]
    return {name for name in names if re.search(pattern, name)} if pattern else set()


@pytest.mark.parametrize("user", OWN)
def test_each_service_may_do_what_it_needs(user: str) -> None:
    own = OWN[user]
    exchanges, queues = {exchange.name for exchange in own.exchanges}, {queue.name for queue in own.queues}
    bound = {binding.queue for binding in own.bindings}
    sources = {binding.exchange for binding in own.bindings}
    declaring, writing = exchanges | queues, bound | PUBLISHES.get(user, set()) | {CALLED}
    # Nobody but its participants reads a session; and dead letters are for people.
    reading = (queues - LETTERS - {PARTICIPANT}) | sources | READS.get(user, set())
    assert allowed(user, "configure", declaring) == declaring
    assert allowed(user, "write", writing) == writing
    assert allowed(user, "read", reading) == reading


@pytest.mark.parametrize("user", OWN)
def test_each_publishes_and_reads_what_is_its_own_alone(user: str) -> None:
    everybodys = functools.reduce(operator.add, OWN.values())
    exchanges = {exchange.name for exchange in everybodys.exchanges}
    queues = {queue.name for queue in everybodys.queues}
    own = {queue.name for queue in OWN[user].queues}
    assert allowed(user, "write", exchanges) == PUBLISHES.get(user, set())
    assert allowed(user, "read", queues) <= (own - {PARTICIPANT}) | READS.get(user, set())
    assert allowed(user, "read", LETTERS) == set()
    assert allowed(user, "configure", queues | exchanges) <= own | {each.name for each in OWN[user].exchanges}
