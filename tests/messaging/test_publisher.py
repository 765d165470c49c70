"""The publisher on a real broker: silence is never success, and what went wrong has a name."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from urllib.parse import urlsplit

import pytest
from pika.spec import BasicProperties

from labs.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    ConfigurationError,
    Nacked,
    TopologyMismatch,
    Unconfirmed,
    Unroutable,
)
from labs.messaging.publisher import Publisher
from labs.messaging.topology import Exchange, Queue, Topology, declare
from tests.proxy import proxy_to
from tests.waiting import eventually, stays
from tests.workbench import Workbench, ping


async def test_publish_returns_only_after_the_confirm(bench: Workbench) -> None:
    async with proxy_to(bench.url) as proxy, bench.publisher(url=proxy.url) as publisher:
        await publisher.wait_connected()
        # Given a network that keeps the broker's answers,
        proxy.hold_to_client()
        publishing = asyncio.create_task(bench.send(publisher, ping()))
        # when the message lies in its queue,
        await bench.has(1)
        # then that is not yet known here,
        assert not publishing.done()
        # until the confirm comes.
        proxy.release()
        await publishing
        assert publisher.statistics.confirmed == 1


async def test_messages_are_persistent_and_arrive_as_they_were_sent(bench: Workbench) -> None:
    message = ping(7, "hello")
    async with bench.publisher() as publisher:
        await bench.send(publisher, message)
    properties, body = await bench.take()
    assert properties.delivery_mode == 2
    assert (properties.message_id, properties.type, body) == (message.message_id, "ping", message.body)


async def test_an_unroutable_message_is_an_error_and_nowhere(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        with pytest.raises(Unroutable, match="declared and bound"):
            await publisher.publish(ping(), exchange="", routing_key="no-such-queue")
        assert publisher.statistics.returned == 1
    assert await bench.depth() == 0


async def test_a_returned_message_is_told_from_the_routed_ones_around_it(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        outcomes = await asyncio.gather(
            *(
                publisher.publish(ping(n), exchange="", routing_key="no-such-queue" if n % 3 == 0 else bench.queue)
                for n in range(300)
            ),
            return_exceptions=True,
        )
    assert [isinstance(outcome, Unroutable) for outcome in outcomes] == [n % 3 == 0 for n in range(300)]
    await bench.has(200)


async def test_each_of_many_returned_messages_without_an_id_is_an_error(bench: Workbench) -> None:
    # Malformed messages on their way to a missing dead-letter queue look like this: none may count as stored.
    async with bench.publisher() as publisher:
        outcomes = await asyncio.gather(
            *(
                publisher.publish_raw(b"?", BasicProperties(), exchange="", routing_key="no-such-queue")
                for _ in range(50)
            ),
            return_exceptions=True,
        )
    assert {type(outcome) for outcome in outcomes} == {Unroutable}


async def test_a_refused_message_is_nacked(bench: Workbench) -> None:
    full = f"{bench.queue}.full"
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    topology = Topology(queues=(Queue(full, arguments),))
    async with Publisher(bench.url, name="p", prepare=lambda channel: declare(channel, topology)) as publisher:
        await publisher.publish(ping(1), exchange="", routing_key=full)
        with pytest.raises(Nacked, match="full queue"):
            await publisher.publish(ping(2), exchange="", routing_key=full)
        assert (publisher.statistics.confirmed, publisher.statistics.nacked) == (1, 1)
    assert await bench.depth(full) == 1


async def test_a_queue_that_has_forgotten_to_take_its_refusal_back_is_tried_on_a_new_channel(bench: Workbench) -> None:
    # Given a quorum queue that a policy has limited, and that is full
    arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
    full = f"{bench.queue}.full"
    topology = Topology(queues=(Queue(full, arguments),))
    management = bench.vhost.management
    management.set_policy(bench.vhost.name, "full", pattern=full, definition={"max-length": 1})

    async with Publisher(
        bench.url, name="p", prepare=lambda channel: declare(channel, topology), timeout_s=2
    ) as publisher:

        async def refused() -> bool:
            try:
                await publisher.publish(ping(1), exchange="", routing_key=full)
            except Nacked:
                return True
            except BrokerError:  # the channel was just given up
                return False
            return False

        await eventually(refused, timeout_s=60)
        # When the policy is deleted, then the queue has room, and takes messages again
        management.delete_policy(bench.vhost.name, "full")

        async def taken() -> bool:
            before = publisher.statistics.confirmed
            with contextlib.suppress(BrokerError):
                await publisher.publish(ping(2), exchange="", routing_key=full)
            return publisher.statistics.confirmed > before

        await eventually(taken, timeout_s=60)


async def test_two_thousand_concurrent_publishes_are_each_confirmed_once(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        await bench.send(publisher, *(ping(n) for n in range(2000)))
        assert publisher.statistics.confirmed == 2000
    await bench.has(2000)


async def test_the_window_bounds_what_is_outstanding(bench: Workbench) -> None:
    async with proxy_to(bench.url) as proxy, bench.publisher(url=proxy.url, window=7) as publisher:
        await publisher.wait_connected()
        proxy.hold_to_client()
        publishing = asyncio.create_task(bench.send(publisher, *(ping(n) for n in range(30))))
        # Given no confirms, seven are sent, and then no more.
        await bench.has(7)
        async with bench.publisher() as other:
            await bench.send(other, ping(99))
        await bench.has(7 + 1)
        proxy.release()
        await publishing
    await bench.has(31)


async def test_a_lost_connection_leaves_the_outstanding_unconfirmed_and_recovers(bench: Workbench) -> None:
    async with proxy_to(bench.url) as proxy, bench.publisher(url=proxy.url) as publisher:
        await bench.send(publisher, ping(0))
        # Given ten messages on the way to the broker,
        proxy.hold_to_server()
        on_the_way = [asyncio.create_task(bench.send(publisher, ping(n))) for n in range(10)]
        # when an operator closes the connection,
        await bench.force_close(f"{bench.queue} publisher")
        # then each is unconfirmed,
        outcomes = await asyncio.gather(*on_the_way, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unconfirmed}
        assert {str(outcome) for outcome in outcomes} == {"the connection was lost before the confirm came"}
        assert publisher.statistics.unconfirmed == 10
        # and the publisher comes back by itself.
        proxy.release()
        await bench.send(publisher, ping(11))
        assert publisher.statistics.connects == 2


async def test_a_confirm_that_never_comes_is_an_error_in_time(bench: Workbench) -> None:
    async with proxy_to(bench.url) as proxy, bench.publisher(url=proxy.url, timeout_s=0.4) as publisher:
        await publisher.wait_connected(timeout_s=60)
        proxy.hold_to_client()
        started = time.monotonic()
        with pytest.raises(Unconfirmed, match=r"0\.4 s"):
            await bench.send(publisher, ping())
        assert 0.4 <= time.monotonic() - started < 30
        # and the publisher goes on with a connection on which the broker owes nothing.
        proxy.release()
        await eventually(lambda: publisher.statistics.connects == 2)


async def test_a_late_confirm_of_a_connection_that_was_given_up_confirms_nothing_else(bench: Workbench) -> None:
    async with proxy_to(bench.url) as proxy, bench.publisher(url=proxy.url, timeout_s=2) as publisher:
        await publisher.wait_connected(timeout_s=60)
        # Given a connection that was given up, on which the broker's first confirm is still under way,
        late = proxy.strand()
        with pytest.raises(Unconfirmed):
            await bench.send(publisher, ping(1))
        await eventually(lambda: publisher.statistics.connects == 2)
        # when the first message is on its way on the next one, where it may take its time, and that confirm arrives,
        publisher._timeout_s = 60.0
        proxy.hold_to_client()
        publishing = asyncio.create_task(bench.send(publisher, ping(2)))
        await bench.has(2)
        late.set()
        await stays(lambda: not publishing.done(), for_s=0.5)
        # then it waits for its own.
        proxy.release()
        await publishing


async def test_closing_leaves_nobody_waiting(bench: Workbench) -> None:
    async with proxy_to(bench.url) as proxy:
        publisher = bench.publisher(url=proxy.url)
        async with publisher:
            await publisher.wait_connected()
            proxy.hold_to_client()
            publishing = asyncio.create_task(bench.send(publisher, ping()))
            await bench.has(1)
            proxy.cut()
        with pytest.raises(Unconfirmed):
            async with asyncio.timeout(30):
                await publishing
    assert not publisher.connected


async def test_no_broker_is_an_error_within_the_timeout() -> None:
    started = time.monotonic()
    async with Publisher("amqp://guest:guest@127.0.0.1:1/", name="p", timeout_s=0.5) as publisher:
        with pytest.raises(BrokerUnavailable):
            await publisher.publish(ping(), exchange="", routing_key="q")
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("wrong", ["password", "virtual host"])
async def test_wrong_credentials_are_named(bench: Workbench, wrong: str) -> None:
    parts = urlsplit(bench.url)
    replaced = {"netloc": f"{parts.username}:wrong@{parts.hostname}:{parts.port}"} if wrong == "password" else {}
    url = parts._replace(**({"path": "/no-such-vhost"} | replaced)).geturl()

    async with Publisher(url, name="p") as publisher:
        reasons: list[BrokerError] = []
        await eventually(lambda: is_refused(publisher, reasons))
    assert isinstance(reasons[-1], BrokerRefused)
    assert wrong in str(reasons[-1])


async def is_refused(publisher: Publisher, reasons: list[BrokerError]) -> bool:
    """Whether the broker has said why there is no connection: the last of the reasons."""
    try:
        await publisher.wait_connected(timeout_s=0.05)
    except BrokerUnavailable:
        return False  # nothing is known yet
    except BrokerError as error:
        reasons.append(error)
        return True
    raise AssertionError("connected")


async def test_a_failed_preparation_is_the_reason_given(bench: Workbench) -> None:
    await bench.declared()
    other = Topology(queues=(Queue(bench.queue, {"x-queue-type": "classic"}),))
    async with Publisher(bench.url, name="p", prepare=lambda channel: declare(channel, other)) as publisher:
        reasons: list[BrokerError] = []
        await eventually(lambda: is_refused(publisher, reasons))
    assert isinstance(reasons[-1], TopologyMismatch)


async def test_an_exchange_that_is_missing_costs_the_channel_but_not_the_publisher(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        with pytest.raises(Unconfirmed):
            await publisher.publish(ping(), exchange=f"missing-{uuid.uuid4()}", routing_key="k")
        await bench.send(publisher, ping())
        assert publisher.statistics.connects == 2


async def test_an_exchange_without_a_binding_returns_the_message(bench: Workbench) -> None:
    lonely = Exchange(f"{bench.queue}.lonely", "topic")
    async with bench.channel() as channel:
        await declare(channel, Topology(exchanges=(lonely,)))
    async with bench.publisher() as publisher:
        with pytest.raises(Unroutable):
            await publisher.publish(ping(), exchange=lonely.name, routing_key="k")


@pytest.mark.parametrize("url", ["amqp://host:notaport/", "amqp://me:hunter2#x@host/", "http://me:hunter2@host/", ""])
def test_what_is_not_an_amqp_url_is_refused_at_once_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not an AMQP URL") as caught:
        Publisher(url, name="p")
    assert "hunter2" not in str(caught.value)
