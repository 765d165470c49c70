"""RabbitMQClient on a real broker: events arrive or say why not, calls end, and connections are shared."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from pika.spec import BasicProperties

from labs.broker import VirtualHost
from labs.errors import (
    BrokerError,
    BrokerUnavailable,
    ConfigurationError,
    MessageError,
    PermanentError,
    RpcError,
    RpcTimeout,
    TopologyMismatch,
    Unroutable,
)
from labs.messaging.client import RabbitMQClient, Received
from labs.messaging.dead_letters import browse
from labs.messaging.delivery import Delivery
from labs.messaging.message import Payload, Schema, Schemas
from labs.messaging.topology import Binding, Exchange, Queue, Topology, dead_letter_queue
from labs.telemetry import PUBLISHED
from tests.messaging.client_bench import ClientBench, Inbox, calls_may_take
from tests.waiting import eventually
from tests.workbench import tell


@pytest.fixture
async def bench(messaging_vhost: VirtualHost, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ClientBench]:
    calls_may_take(60, monkeypatch)
    made = ClientBench(messaging_vhost)
    yield made
    await made.pool.close_idle()


async def islice(messages: AsyncGenerator[Received], count: int) -> AsyncGenerator[Received]:
    """The first messages; the last one is still in hand when whoever iterates stops."""
    for _ in range(count):
        yield await anext(messages)


def outcomes(bench: ClientBench, outcome: str) -> float:
    return PUBLISHED.labels(bench.exchange, outcome)._value.get()


async def test_an_event_reaches_the_queues_that_are_bound_for_it_and_no_other(bench: ClientBench) -> None:
    mine, others = Inbox(), Inbox()
    async with bench.client() as client:
        await client.consume_messages(bench.queue, mine, bench.exchange, "user.*")
        await client.consume_messages(f"{bench.queue}.others", others, bench.exchange, "session.#")
        await client.publish_message(bench.exchange, "user.created", {"n": 1})
        await client.publish_message(bench.exchange, "session.7.code_updated", {"n": 2})
        await mine.has(1)
        await others.has(1)
    assert mine.got == [{"n": 1}]
    assert others.got == [{"n": 2}]
    assert mine.got[0].delivery.routing_key == mine.got[0].delivery.message.type == "user.created"
    assert outcomes(bench, "confirmed") == 2


async def test_an_event_waits_on_disk_for_a_consumer_that_comes_later(bench: ClientBench) -> None:
    async with bench.client() as client:
        await client.consume_messages(bench.queue, Inbox(), bench.exchange, "user.created")
    # Given a durable queue whose consumer has gone
    async with bench.client() as client:
        await client.publish_message(bench.exchange, "user.created", {"n": 1})
        async with bench.channel() as channel:
            got = await channel.get(bench.queue)
        assert got is not None
        assert got[1].delivery_mode == 2
        # Then the next one gets it
        inbox = Inbox()
        await client.consume_messages(bench.queue, inbox, bench.exchange, "user.created")
        await inbox.has(1)


async def test_an_event_that_nobody_hears_is_an_error_only_if_it_is_mandatory(bench: ClientBench) -> None:
    async with bench.client() as client:
        await client.publish_message(bench.exchange, "user.created", {"n": 1})
        assert (outcomes(bench, "unheard"), outcomes(bench, "confirmed")) == (1, 0)
        with pytest.raises(Unroutable, match="declared and bound"):
            await client.publish_message(bench.exchange, "user.created", {"n": 2}, mandatory=True)


async def test_a_callback_that_fails_gets_the_event_again_then_it_is_dead_lettered(bench: ClientBench) -> None:
    seen: list[Received] = []
    given_up: list[str] = []

    async def fail(message: Received) -> None:
        seen.append(message)
        raise ValueError("secret")

    async def told(delivery: Delivery, reason: str) -> None:
        given_up.append(reason)

    async with bench.client() as client:
        await client.consume_messages(bench.queue, fail, bench.exchange, "user.created", on_dead_letter=told)
        await client.publish_message(bench.exchange, "user.created", {"n": 1})
        await bench.has(dead_letter_queue(bench.queue), 1)
        await eventually(lambda: given_up == ["unexpected ValueError"])
    assert len(seen) == 4
    assert len({message.message_id for message in seen}) == 1
    [letter] = await browse(bench.url, dead_letter_queue(bench.queue))
    assert (letter.reason, letter.attempts) == ("unexpected ValueError", 4)


async def test_what_can_never_be_handled_is_dead_lettered_at_once(bench: ClientBench) -> None:
    seen = 0

    async def refuse(message: Received) -> None:
        nonlocal seen
        seen += 1
        raise PermanentError("no such thing")

    async with bench.client() as client:
        await client.consume_messages(bench.queue, refuse, bench.exchange, "user.created")
        await client.publish_message(bench.exchange, "user.created", {"n": 1})
        await bench.has(dead_letter_queue(bench.queue), 1)
    assert seen == 1


async def test_the_same_message_delivered_again_has_the_same_id(bench: ClientBench) -> None:
    once, ids = asyncio.Event(), []

    async def fail_once(message: Received) -> None:
        ids.append(message.message_id)
        if len(ids) == 1:
            raise ValueError
        once.set()

    async with bench.client() as client:
        await client.consume_messages(bench.queue, fail_once, bench.exchange, "user.created")
        await client.publish_message(bench.exchange, "user.created", {"n": 1})
        await once.wait()
    assert ids[0] == ids[1]


class _User(Payload):
    user_id: int


async def test_bodies_that_are_not_of_the_schema_never_reach_the_callback(bench: ClientBench) -> None:
    inbox = Inbox()
    async with bench.client() as client:
        schemas = Schemas(Schema("user.created", 1, _User))
        await client.consume_messages(bench.queue, inbox, bench.exchange, "user.#", schemas=schemas)
        for key, body in (("user.created", {"user_id": "x"}), ("user.left", {"user_id": 1}), ("user.created", {})):
            await client.publish_message(bench.exchange, key, body)
        await client.publish_message(bench.exchange, "user.created", {"user_id": 5})
        await inbox.has(1)
        await bench.has(dead_letter_queue(bench.queue), 3)
    assert inbox.got == [{"user_id": 5}]
    assert inbox.got[0].delivery.body == _User(user_id=5)


async def test_a_message_of_a_stranger_is_taken_and_one_that_is_no_object_is_dead_lettered(bench: ClientBench) -> None:
    inbox = Inbox()
    async with bench.client() as client:
        await client.consume_messages(bench.queue, inbox, bench.exchange, "user.created")
        # As the management UI publishes: no envelope, no properties
        for body in (b'{"user_id": 7}', b"[1]", b"hello"):
            await tell(bench.url, "user.created", body, BasicProperties(), exchange=bench.exchange)
        named = BasicProperties(message_id="number 8")
        for _ in range(2):
            await tell(bench.url, "user.created", b'{"user_id": 8}', named, exchange=bench.exchange)
        await inbox.has(3)
        await bench.has(dead_letter_queue(bench.queue), 2)
    assert sorted(message["user_id"] for message in inbox.got) == [7, 8, 8]
    assert len({message.message_id for message in inbox.got}) == 2
    assert {message.delivery.message.type for message in inbox.got} == {"user.created"}


async def test_the_consumer_comes_back_by_itself(bench: ClientBench) -> None:
    inbox = Inbox()
    async with bench.client() as client:
        await client.consume_messages(bench.queue, inbox, bench.exchange, "user.created")
        # When its connection is closed by force, and then its queue is deleted
        await bench.force_close(f"{bench.name} {bench.queue}")
        await client.publish_message(bench.exchange, "user.created", {"n": 1})
        await inbox.has(1)
        await asyncio.to_thread(bench.vhost.management.delete_queue, bench.vhost.name, bench.queue)

        async def heard() -> bool:
            await client.publish_message(bench.exchange, "user.created", {"n": 2})
            return {"n": 2} in inbox.got

        await eventually(heard)
        await eventually(lambda: client.connected)


async def test_publishing_comes_back_with_the_exchange_that_somebody_deleted(bench: ClientBench) -> None:
    async with bench.client() as client:
        await client.publish_message(bench.exchange, "user.created", {"n": 1})
        async with bench.channel() as channel:
            await channel._call(channel.raw.exchange_delete, exchange=bench.exchange)

        async def published() -> bool:
            try:
                await client.publish_message(bench.exchange, "user.created", {"n": 2})
            except BrokerError:
                return False
            return True

        await eventually(published)


async def test_a_mismatch_is_one_clear_error_and_harms_nobody_else(bench: ClientBench) -> None:
    async with bench.channel() as channel:
        await channel.declare_exchange(bench.exchange, kind="fanout")
        await channel.declare_queue(bench.queue)
    async with bench.client() as client:
        with pytest.raises(TopologyMismatch):
            await client.publish_message(bench.exchange, "user.created", {})
        with pytest.raises(TopologyMismatch):
            await client.consume_messages(bench.queue, Inbox(), f"{bench.exchange}.topic", "#")
        await client.publish_message(f"{bench.exchange}.topic", "user.created", {})
        assert client.connected
        # Nor does it after a reconnect.
        await bench.force_close(f"{bench.name} publishing")
        await eventually(lambda: client._shared().publisher.statistics.connects == 2)
        await client.publish_message(f"{bench.exchange}.topic", "user.created", {})


async def test_what_json_cannot_say_is_never_sent(bench: ClientBench) -> None:
    async with bench.client() as client:
        for body in ({"n": float("nan")}, {"n": object()}, {"n": "x" * 2_000_000}):
            with pytest.raises(MessageError):
                await client.publish_message(bench.exchange, "user.created", body)


async def test_a_call_gets_its_reply_or_the_services_typed_error(bench: ClientBench) -> None:
    async def profile(request: dict[str, Any]) -> dict[str, Any]:
        if request["user_id"] != 1:
            raise RpcError("unknown-user", "there is no such user")
        return {"user_id": 1}

    async with bench.client() as server, bench.client() as client:
        await server.setup_rpc_server(bench.queue, profile)
        assert await client.rpc_call(bench.queue, {"user_id": 1}) == {"user_id": 1}
        with pytest.raises(RpcError, match="unknown-user"):
            await client.rpc_call(bench.queue, {"user_id": 2})
        with pytest.raises(RpcError, match="internal: the server failed"):
            await client.rpc_call(bench.queue, {})


async def test_a_call_to_a_service_that_is_down_times_out_and_to_one_that_never_ran_fails_at_once(
    bench: ClientBench,
) -> None:
    async def echo(request: dict[str, Any]) -> dict[str, Any]:
        return request

    async with bench.client() as client:
        with pytest.raises(Unroutable):
            await client.rpc_call(bench.queue, {})
        async with bench.client() as server:
            await server.setup_rpc_server(bench.queue, echo)
        with pytest.raises(RpcTimeout, match="is a server running"):
            await client.rpc_call(bench.queue, {}, timeout_s=0.2)


async def test_clients_share_connections(bench: ClientBench) -> None:
    first, second = bench.client(), bench.client()
    await first.connect()
    await second.connect()
    assert bench.pool.clients(bench.url) == 2
    # Given many clients, one after the other and at the same time,
    for _ in range(20):
        async with bench.client() as client:
            await client.publish_message(bench.exchange, "user.created", {})

    async def once() -> None:
        async with bench.client() as client:
            await client.publish_message(bench.exchange, "user.created", {})
            with pytest.raises(Unroutable):
                await client.rpc_call(bench.queue, {})

    await asyncio.gather(*(once() for _ in range(20)))
    # Then the broker has seen one connection that publishes and one that calls
    titles = [f"{bench.name} calling", f"{bench.name} publishing"]

    async def two() -> bool:
        return await bench.connections() == titles

    await eventually(two)
    connections = first._shared()
    assert connections is second._shared()
    assert connections.publisher.statistics.connects == 1
    await first.close()
    await first.close()
    await second.close()
    assert bench.pool.clients(bench.url) == 0


async def test_a_client_that_is_connected_twice_at_once_counts_once(bench: ClientBench) -> None:
    client = bench.client()
    await asyncio.gather(*(client.connect() for _ in range(5)))
    assert bench.pool.clients(bench.url) == 1
    await client.close()
    assert bench.pool.clients(bench.url) == 0


async def test_connections_are_closed_when_nobody_has_needed_them_for_a_while(bench: ClientBench) -> None:
    bench.pool._idle_s = 0.2
    async with bench.client() as client:
        await client.publish_message(bench.exchange, "user.created", {})
    await eventually(lambda: bench.pool.clients(bench.url) is None)

    async def none() -> bool:
        return await bench.connections() == []

    await eventually(none)
    # And a client that comes later opens them anew
    async with bench.client() as client:
        await client.publish_message(bench.exchange, "user.created", {})


async def test_a_client_that_closes_gives_back_what_its_callback_cannot_finish(bench: ClientBench) -> None:
    started, inbox = asyncio.Event(), Inbox()

    async def hang(message: Received) -> None:
        started.set()
        await asyncio.Event().wait()

    settings = bench.settings.model_copy(update={"grace_s": 0.1})
    async with bench.client(settings=settings) as client:
        await client.consume_messages(bench.queue, hang, bench.exchange, "user.created")
        await client.publish_message(bench.exchange, "user.created", {"n": 1})
        await started.wait()
    async with bench.client() as client:
        await client.consume_messages(bench.queue, inbox, bench.exchange, "user.created")
        await inbox.has(1)


async def test_without_a_broker_everything_is_an_ordinary_typed_error(bench: ClientBench) -> None:
    client = bench.client("amqp://guest:guest@127.0.0.1:1/")
    with pytest.raises(BrokerUnavailable):
        await client.connect(timeout_s=0.3)
    for failing in (client.publish_message(bench.exchange, "k", {}), client.rpc_call("q", {})):
        with pytest.raises(BrokerUnavailable, match="connect"):
            await failing
    await client.close()


def test_a_url_is_needed_and_checked(bench: ClientBench, monkeypatch: pytest.MonkeyPatch) -> None:
    without = bench.settings.model_copy(update={"rabbitmq_url": None, "amqp_url": None})
    with pytest.raises(ConfigurationError, match="RABBITMQ_URL"):
        RabbitMQClient(settings=without)
    with pytest.raises(ConfigurationError, match="not an AMQP URL"):
        RabbitMQClient("http://localhost")


async def test_what_is_on_the_wire_is_the_body_as_given(bench: ClientBench) -> None:
    async with bench.client() as client:
        await client.consume_messages(bench.queue, Inbox(), bench.exchange, "user.created")
    body = {"user_id": 7, "username": "ada", "email": "ada@example.org", "timestamp": "2026-11-28T09:30:00"}
    async with bench.client() as client:
        await client.publish_message(exchange=bench.exchange, routing_key="user.created", message=body)
        async with bench.channel() as channel:
            got = await channel.get(bench.queue)
    assert got is not None
    assert json.loads(got[2]) == body
    assert got[1].content_type == "application/json"


async def test_following_is_in_order_and_what_was_not_done_comes_again_first(bench: ClientBench) -> None:
    until = asyncio.Event()
    topology = Topology(
        (Exchange(bench.exchange, "topic"),),
        (Queue(bench.queue, {"x-single-active-consumer": True}),),
        (Binding(bench.exchange, bench.queue, "session.7.*"),),
    )
    prepared = 0

    async with bench.client() as client:

        async def prepare() -> None:
            nonlocal prepared
            prepared += 1
            await client.declare(topology)

        def follow() -> AsyncGenerator[Received]:
            return client.follow(bench.queue, prepare=prepare, until=until)

        await prepare()
        for n in range(40):
            await client.publish_message(bench.exchange, "session.7.code_updated", {"n": n})
        # Given a follower that leaves in the middle of a message,
        async with contextlib.aclosing(follow()) as messages:
            first = [message["n"] async for message in islice(messages, 11)]
        # and another one whose connection is lost on the way,
        second: list[int] = []
        async with contextlib.aclosing(follow()) as messages:
            async for message in messages:
                second.append(message["n"])
                if second.count(20) == 1 and message["n"] == 20:
                    await bench.force_close(f"{bench.name} following")
                if message["n"] == 39:
                    until.set()
    # then each message comes in order, and only the last one of a channel comes twice.
    assert first == list(range(11))
    assert second[:10] == list(range(10, 20))
    assert list(dict.fromkeys(second)) == list(range(10, 40)) == sorted(set(second))
    assert prepared >= 4


async def test_following_ends_while_it_waits_and_drops_what_is_no_object(bench: ClientBench) -> None:
    until = asyncio.Event()
    async with bench.client() as client:

        async def prepare() -> None:
            await client.declare(Topology(queues=(Queue(bench.queue),)))

        await prepare()
        for body in (b"nonsense", b'{"n": 1}'):
            await tell(bench.url, bench.queue, body, BasicProperties())
        seen = []
        async for message in client.follow(bench.queue, prepare=prepare, until=until):
            seen.append(message)
            asyncio.get_running_loop().call_later(0.05, until.set)
    assert seen == [{"n": 1}]
    await bench.has(bench.queue, 0)
