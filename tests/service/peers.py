"""Users of the peers' routes: created, matched, and listening to a session."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from labs.processes import wait_until
from tests.service.conftest import Service

PEERS = "/v1/peers"

#: The API waits so long at least for a service; who is refused before that was not kept waiting by a busy machine.
_PATIENCE_S = 2.0

_user_ids = itertools.count(5000)


def answered(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """What a service answers that is there: if a busy machine makes it slow, the caller is told to ask again."""
    responses: list[httpx.Response] = []

    def is_there() -> bool:
        responses.append(ask())
        refused = responses[-1].status_code in {503, 504}
        return not (refused and responses[-1].elapsed.total_seconds() >= _PATIENCE_S)

    assert wait_until(is_there, timeout_s=60, every_s=1)
    return responses[-1]


def become_peer(client: httpx.Client, *, topic: str) -> dict[str, Any]:
    """Create a user of the client's token, and wait until the matching service knows of him."""
    name = f"user-{secrets.token_hex(4)}"
    user = {"username": name, "email": f"{name}@example.org", "profile_data": {"topics": [topic]}}
    response = answered(lambda: client.post(f"{PEERS}/users", json=user))
    assert response.status_code == 201, response.text
    assert wait_until(lambda: client.post(f"{PEERS}/matches", json={}).status_code == 200, timeout_s=60, every_s=2)
    return dict(response.json())


@contextlib.contextmanager
def a_pair(service: Service) -> Iterator[tuple[httpx.Client, httpx.Client, str]]:
    """Two users in a session, and its path."""
    topic = secrets.token_hex(4)
    ids = next(_user_ids), next(_user_ids)
    with service.client(user_id=ids[0]) as one, service.client(user_id=ids[1]) as two:
        become_peer(one, topic=topic)
        become_peer(two, topic=topic)
        found = answered(lambda: two.post(f"{PEERS}/matches", json={})).json()
        assert found["status"] == "matched"
        yield one, two, f"{PEERS}/sessions/{found['session_id']}"


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of each server-sent event."""
    name = ""
    for line in lines:
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        if line.startswith("data:"):
            yield name, json.loads(line.removeprefix("data:"))
