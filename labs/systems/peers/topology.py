"""Exchanges and queues of the peers system, and the queues of those who answer calls."""

from __future__ import annotations

from labs.messaging.client import event_queue
from labs.messaging.topology import Arguments, Binding, Exchange, Queue, Topology
from labs.settings import Settings
from labs.systems.peers.messages import USER_CREATED

USER_EVENTS = "user.events"
COLLABORATION_EVENTS = "collaboration.events"

#: Where new users wait for their matching profile.
MATCHING_QUEUE = "matching.user_events"
USER_CREATED_KEY = USER_CREATED.name

# Calls
USER_CREATE = "user.create"
PROFILE_GET = "user.profile.get"
MATCH_FIND = "matching.match.find"
SESSION_OPEN = "collaboration.session.open"
SESSION_JOIN = "collaboration.session.join"
SESSION_UPDATE = "collaboration.session.update"

#: A participant who is away for longer has left, and his queue with him.
_AWAY_MS = 120_000
#: A participant who reads no more loses the oldest updates, and sees it by their numbers.
_MOST_WAITING = 10_000


def topology(settings: Settings) -> Topology:
    """What must be there before anybody publishes."""
    users = event_queue(MATCHING_QUEUE, exchange=USER_EVENTS, routing_key=USER_CREATED_KEY, settings=settings)
    return users + Topology(exchanges=(Exchange(COLLABORATION_EVENTS, "topic"),))


def update_key(session_id: str) -> str:
    """The routing key of a session's updates."""
    return f"session.{session_id}.code_updated"


def participant_queue(session_id: str, user_id: int, client: str) -> str:
    """The queue of one window of a participant."""
    return f"collaboration.participant.{session_id}.{user_id}.{client}"


def participant(session_id: str, user_id: int, client: str) -> Topology:
    """A queue that gets all of a session and nothing else.

    Durable, since a restart of the broker shall lose nothing, and with one consumer at a time, so that a window which
    connects again takes over from itself and order is kept.
    """
    queue = participant_queue(session_id, user_id, client)
    arguments: Arguments = {
        "x-queue-type": "classic",
        "x-single-active-consumer": True,
        "x-expires": _AWAY_MS,
        "x-max-length": _MOST_WAITING,
    }
    return Topology(
        exchanges=(Exchange(COLLABORATION_EVENTS, "topic"),),
        queues=(Queue(queue, arguments),),
        bindings=(Binding(COLLABORATION_EVENTS, queue, f"session.{session_id}.*"),),
    )
