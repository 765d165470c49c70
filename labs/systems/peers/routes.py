"""The HTTP routes of the peers system: each asks a service over the broker, and has no table of its own.

Without a broker, or without the service that is asked, they answer 503, or 504 if it did not answer in time.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from labs.messaging.client import RabbitMQClient
from labs.systems.asking import ask, connected
from labs.systems.peers import messages
from labs.systems.peers import topology as names
from labs.systems.peers.following import updates
from labs.systems.peers.views import MatchRequest, UpdateRequest, UserRequest
from labs.systems.problem import documented
from labs.systems.system import ApiParts
from labs.systems.user import User

PREFIX = "/v1/peers"

_SessionPath = Annotated[messages.SessionId, Path(examples=[messages.EXAMPLE_SESSION])]


def routes(parts: ApiParts) -> list[APIRouter]:
    """The system's routers."""
    router = APIRouter(prefix=PREFIX, tags=["peers"])
    _add_users(router, parts)
    _add_sessions(router, parts)
    return [router]


def _add_users(router: APIRouter, parts: ApiParts) -> None:
    requester = Annotated[User, Depends(parts.requester)]
    reader = Annotated[User, Depends(parts.reader)]

    @router.post(
        "/users",
        status_code=201,
        summary="Become a peer",
        responses=documented(401, 409, 413, 415, 422, 429, 503, 504),
    )
    async def create(request: UserRequest, user: requester) -> messages.UserProfile:
        """You are known under your token's user id. Harmless to repeat; with other data it is a 409.

        201 means that the user is committed; the matching service hears of you a moment later.
        """
        asked = messages.CreateUser(user_id=user.id, **request.model_dump())
        return messages.UserProfile.model_validate(await ask(parts, names.USER_CREATE, asked))

    @router.get("/users/{user_id}/profile", summary="Who a peer is", responses=documented(401, 404, 422, 503, 504))
    async def profile(user_id: Annotated[messages.UserId, Path(examples=[1])], user: reader) -> messages.UserProfile:  # noqa: ARG001
        """What every peer may know of another; never the e-mail address."""
        asked = messages.ProfileRequest(user_id=user_id)
        return messages.UserProfile.model_validate(await ask(parts, names.PROFILE_GET, asked))

    @router.post(
        "/matches",
        summary="Find a peer",
        response_model_exclude_none=True,
        responses=documented(401, 404, 413, 415, 422, 429, 503, 504),
    )
    async def match(request: MatchRequest, user: requester) -> messages.Match:
        """A peer who waits and shares a topic (`profile_data.topics`), and a session with them; else you wait.

        Ask again until you are matched; from then on the answer is the same, until you `leave` that session.
        """
        asked = messages.FindMatch(user_id=user.id, leave=request.leave)
        return messages.Match.model_validate(await ask(parts, names.MATCH_FIND, asked))


def _add_sessions(router: APIRouter, parts: ApiParts) -> None:
    requester = Annotated[User, Depends(parts.requester)]

    @router.post(
        "/sessions/{session_id}/updates",
        summary="Tell all participants of a change",
        responses=documented(401, 404, 409, 413, 415, 422, 429, 503, 504),
    )
    async def update(session_id: _SessionPath, request: UpdateRequest, user: requester) -> messages.Published:
        """Your changes are numbered 1, 2, 3, ...; another number than the next is a 409 that says which one is.

        200 means that every participant's queue has it. After a 503 or 504 repeat the same change: none sees it twice.
        """
        asked = messages.UpdateCode(session_id=session_id, user_id=user.id, **request.model_dump())
        return messages.Published.model_validate(await ask(parts, names.SESSION_UPDATE, asked))

    # A session is joined before the stream starts, so that an unknown one is a 404 and not a stream.
    async def joined(
        session_id: _SessionPath,
        user: requester,  # each window costs a queue
        client: Annotated[
            messages.ClientId, Query(description="Tells a user's windows apart, each of which gets all.")
        ] = "1",
    ) -> tuple[messages.JoinSession, messages.Session]:
        joining = messages.JoinSession(session_id=session_id, user_id=user.id, client=client)
        return joining, messages.Session.model_validate(await ask(parts, names.SESSION_JOIN, joining))

    @router.get(
        "/sessions/{session_id}/events",
        summary="A session's changes as they happen",
        response_class=EventSourceResponse,
        responses=documented(401, 404, 422, 429, 503, 504),
    )
    async def events(
        participant: Annotated[tuple[messages.JoinSession, messages.Session], Depends(joined)],
    ) -> AsyncIterator[ServerSentEvent]:
        """Server-sent events: `joined` with the number of your last change, then `code_updated` for each change.

        All participants' changes, your own too, each author's in the order of their numbers. Whoever was cut off and
        connects again within two minutes has missed nothing, but may see the last change before that again.
        """
        joining, session = participant
        yield ServerSentEvent(event="joined", data=session.model_dump(mode="json", exclude={"queue"}))
        async with connected(parts) as client, contextlib.aclosing(_updates(parts, client, joining)) as seen:
            async for number, data in seen:
                yield ServerSentEvent(event="code_updated", id=number, data=data)


async def _updates(
    parts: ApiParts, client: RabbitMQClient, joining: messages.JoinSession
) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    async for update in updates(client, joining, until=parts.stopping):
        yield f"{update.user_id}-{update.sequence}", update.model_dump(mode="json")
