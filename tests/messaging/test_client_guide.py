"""The snippets of the integration guide that RabbitMQClient comes from, as they stand there, on a real broker.

What a snippet takes for granted (a table of users, a logger) is defined here; its lines are not changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from labs.broker import VirtualHost, virtual_host
from labs.errors import RpcError
from labs.messaging.client import SHARED, RabbitMQClient
from labs.settings import Settings, get_settings
from tests.messaging.client_bench import calls_may_take
from tests.waiting import eventually

logger = logging.getLogger(__name__)


@dataclass
class User:
    id: int
    username: str
    email: str
    profile: dict[str, Any] = field(default_factory=dict)


users = {7: User(7, "ada", "ada@example.org", {"topics": ["graphs"]})}
matching_profiles: list[int] = []


async def get_user_by_id(user_id: int) -> User:
    return users[user_id]


async def create_user_matching_profile(user_id: int) -> None:
    matching_profiles.append(user_id)


# Event publishing


async def create_user(user_data):
    user = User(**user_data)

    # Notify other services
    client = RabbitMQClient()
    await client.connect()
    await client.publish_message(
        exchange="user.events",
        routing_key="user.created",
        message={
            "user_id": user.id,
            "username": user.username,
            "email": user.email,
            "timestamp": datetime.utcnow().isoformat()
        }
    )  # fmt: skip
    await client.close()


async def handle_new_user(message):
    user_id = message["user_id"]
    # Initialize user matching profile
    await create_user_matching_profile(user_id)


async def start_user_event_listener():
    client = RabbitMQClient()
    await client.connect()
    await client.consume_messages(
        queue="matching.user_events",
        callback=handle_new_user,
        exchange="user.events",
        routing_key="user.created"
    )  # fmt: skip


# Request/response


async def get_user_profile(user_id):
    client = RabbitMQClient()
    await client.connect()

    response = await client.rpc_call(
        queue="user.profile.get",
        message={"user_id": user_id}
    )  # fmt: skip

    await client.close()
    return response


async def handle_profile_request(request):
    user_id = request["user_id"]
    user = await get_user_by_id(user_id)

    return {
        "user_id": user.id,
        "username": user.username,
        "profile_data": user.profile
    }  # fmt: skip


async def start_rpc_server():
    client = RabbitMQClient()
    await client.connect()
    await client.setup_rpc_server(
        queue="user.profile.get",
        handler=handle_profile_request
    )  # fmt: skip


# Real-time updates


async def broadcast_code_change(session_id, user_id, code_delta):
    client = RabbitMQClient()
    await client.connect()
    await client.publish_message(
        exchange="collaboration.events",
        routing_key=f"session.{session_id}.code_updated",
        message={
            "session_id": session_id,
            "user_id": user_id,
            "code_delta": code_delta,
            "timestamp": datetime.utcnow().isoformat()
        }
    )  # fmt: skip
    await client.close()


# Error handling


async def publish_gracefully(client):
    try:
        await client.publish_message("user.events", "user.created", {})
    except Exception as e:
        logger.error(f"Failed to publish message: {e}")  # noqa: TRY400 - as it stands
        # Handle gracefully - don't break main functionality


@pytest.fixture(scope="module")
def guide_vhost(broker: object, settings: Settings) -> Iterator[VirtualHost]:
    with virtual_host("guide", settings=settings) as made:
        yield made


@pytest.fixture(autouse=True)
async def environment(guide_vhost: VirtualHost, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The guide's way to tell a service where the broker is; and another address that must not count."""
    monkeypatch.setenv("RABBITMQ_URL", guide_vhost.amqp_url)
    monkeypatch.setenv("LAB_AMQP_URL", "amqp://guest:guest@127.0.0.1:1/")
    calls_may_take(60, monkeypatch)
    get_settings.cache_clear()
    matching_profiles.clear()
    yield
    get_settings.cache_clear()
    await SHARED.close_idle()


async def test_a_new_user_gets_a_matching_profile() -> None:
    await start_user_event_listener()
    await create_user({"id": 7, "username": "ada", "email": "ada@example.org"})
    await eventually(lambda: matching_profiles == [7])


async def test_a_profile_is_asked_for_and_an_unknown_user_is_a_typed_error() -> None:
    await start_rpc_server()
    assert await get_user_profile(7) == {"user_id": 7, "username": "ada", "profile_data": {"topics": ["graphs"]}}
    with pytest.raises(RpcError):
        await get_user_profile(8)


async def test_a_code_change_reaches_its_session_alone() -> None:
    here, there = [], []

    async def hear(message):
        here.append(message)

    async def overhear(message):
        there.append(message)

    async with RabbitMQClient() as client:
        for session_id, callback in (("42", hear), ("43", overhear)):
            await client.consume_messages(
                f"collaboration.{session_id}", callback, "collaboration.events", f"session.{session_id}.*"
            )
        await broadcast_code_change("42", 7, "+x")
        await broadcast_code_change("43", 7, "+y")
        await eventually(lambda: len(here) == len(there) == 1)
    assert [(m["session_id"], m["user_id"], m["code_delta"]) for m in here] == [("42", 7, "+x")]
    assert set(there[0]) == {"session_id", "user_id", "code_delta", "timestamp"}


async def test_many_code_changes_cost_one_connection() -> None:
    async with RabbitMQClient() as client:
        await asyncio.gather(*(broadcast_code_change("42", 7, str(n)) for n in range(50)))
        assert client._shared().publisher.statistics.connects == 1


async def test_a_failure_to_publish_does_not_break_main_functionality(caplog: pytest.LogCaptureFixture) -> None:
    await publish_gracefully(RabbitMQClient())
    assert "Failed to publish message: the client is not connected" in caplog.text
