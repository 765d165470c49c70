"""The peers system: users, matching and collaboration as three processes that talk over the broker alone."""

from __future__ import annotations

from labs.systems.contract import Answered, Sent
from labs.systems.peers import messages
from labs.systems.peers import topology as names
from labs.systems.system import System, later

PEERS = System(
    name="peers",
    topology=names.topology,
    queues=(names.MATCHING_QUEUE,),
    routes=later("labs.systems.peers.routes:routes"),
    sends=(
        Sent(schema=messages.USER_CREATED, exchange=names.USER_EVENTS, key=names.USER_CREATED_KEY),
        Sent(schema=messages.CODE_UPDATED, exchange=names.COLLABORATION_EVENTS, key=messages.CODE_UPDATED.name),
    ),
    answers=(
        Answered(queue=names.USER_CREATE, request=messages.CreateUser, reply=messages.UserProfile),
        Answered(queue=names.PROFILE_GET, request=messages.ProfileRequest, reply=messages.UserProfile),
        Answered(queue=names.MATCH_FIND, request=messages.FindMatch, reply=messages.Match),
        Answered(queue=names.SESSION_OPEN, request=messages.OpenSession, reply=messages.Session),
        Answered(queue=names.SESSION_JOIN, request=messages.JoinSession, reply=messages.Session),
        Answered(queue=names.SESSION_UPDATE, request=messages.UpdateCode, reply=messages.Published),
    ),
    services={
        "user": later("labs.systems.peers.users:serve"),
        "matching": later("labs.systems.peers.matching:serve"),
        "collaboration": later("labs.systems.peers.collaboration:serve"),
    },
)
