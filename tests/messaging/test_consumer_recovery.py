"""The consumer when the ground moves: every loss of its channel ends in recovery, and `stop` in good order."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from labs.broker import Management
from labs.messaging.delivery import Delivery
from tests.proxy import proxy_to
from tests.waiting import eventually, stays
from tests.workbench import Workbench, number, ping, running


class Gate:
    """A handler that waits until it is opened."""

    def __init__(self) -> None:
        self.seen: list[Delivery] = []
        self.done: list[int] = []
        self.open = asyncio.Event()

    async def __call__(self, delivery: Delivery) -> None:
        self.seen.append(delivery)
        await self.open.wait()
        self.done.append(number(delivery.body))


async def test_a_deleted_queue_is_declared_again_and_the_consumer_is_back(bench: Workbench) -> None:
    gate = Gate()
    gate.open.set()
    async with bench.consuming(gate) as (publisher, consumer):
        await asyncio.to_thread(bench.vhost.management.delete_queue, bench.vhost.name, bench.queue)
        await eventually(lambda: consumer.statistics.connects == 2)
        await bench.send(publisher, ping(1))
        await eventually(lambda: gate.done == [1])


async def test_a_closed_connection_brings_its_messages_back_with_their_identity(bench: Workbench) -> None:
    gate, message = Gate(), ping(1)
    async with proxy_to(bench.url) as proxy, bench.publisher() as publisher:
        consumer = bench.consumer(gate, publisher, url=proxy.url)
        async with running(consumer):
            await bench.send(publisher, message)
            await eventually(lambda: len(gate.seen) == 1)
            proxy.cut()
            await eventually(lambda: len(gate.seen) == 2)
            gate.open.set()
            # Of the two deliveries one can still be acknowledged; the other one's channel is gone.
            await eventually(lambda: (consumer.statistics.acknowledged, consumer.statistics.orphaned) == (1, 1))
    assert [delivery.redelivered for delivery in gate.seen] == [False, True]
    assert {delivery.message.message_id for delivery in gate.seen} == {message.message_id}
    assert await bench.depth() == 0


async def test_a_cut_network_is_survived_without_a_loss(bench: Workbench) -> None:
    gate = Gate()
    gate.open.set()
    async with proxy_to(bench.url) as proxy, bench.publisher() as publisher:
        consumer = bench.consumer(gate, publisher, url=proxy.url)
        async with running(consumer):
            for n in range(3):
                await bench.send(publisher, *(ping(100 * n + m) for m in range(30)))
                before = proxy.accepted
                proxy.cut()
                await eventually(lambda before=before: proxy.accepted > before)
            await eventually(lambda: len(set(gate.done)) == 90)
            # Those whose ack was cut off come once more, and then no more.
            await bench.has(0)


@pytest.fixture
def own_user(bench: Workbench) -> Iterator[str]:
    """The URL of a broker user whose permissions a test may take away."""
    name, management = f"user-{secrets.token_hex(4)}", bench.vhost.management
    management.create_user(name, "password")
    allow(management, bench, name)
    parts = urlsplit(bench.url)
    yield parts._replace(netloc=f"{name}:password@{parts.hostname}:{parts.port}").geturl()
    management.delete_user(name)


def allow(management: Management, bench: Workbench, name: str, *, what: str = ".*") -> None:
    management.set_permissions(bench.vhost.name, name, configure=what, write=what, read=what)


async def test_a_revoked_permission_is_waited_out_without_a_tight_loop(bench: Workbench, own_user: str) -> None:
    gate, name = Gate(), str(urlsplit(own_user).username)
    gate.open.set()
    async with bench.publisher() as publisher, proxy_to(own_user) as proxy:
        consumer = bench.consumer(gate, publisher, url=proxy.url)
        async with running(consumer):
            # Given a consumer that may no longer do anything, and loses its connection,
            await asyncio.to_thread(allow, bench.vhost.management, bench, name, what="^$")
            started, before = time.monotonic(), proxy.accepted
            proxy.cut()
            # when it comes back for the third time, it has waited in between, ever longer:
            # at least half of 0.2, 0.4 and 0.8 s.
            await eventually(lambda: proxy.accepted >= before + 3)
            assert time.monotonic() - started >= 0.7
            assert consumer.statistics.connects == 1
            # Then, when it may again, it is back by itself.
            await asyncio.to_thread(allow, bench.vhost.management, bench, name)
            await bench.send(publisher, ping(1))
            await eventually(lambda: gate.done == [1])


async def test_stopping_finishes_what_runs(bench: Workbench) -> None:
    gate = Gate()
    async with bench.consuming(gate) as (publisher, consumer):
        await bench.send(publisher, *(ping(n) for n in range(5)))
        await eventually(lambda: len(gate.seen) == 5)
        stopping = asyncio.create_task(consumer.stop(grace_s=20))
        # Given a message that comes while it stops, it stays in the queue.
        await bench.send(publisher, ping(99))
        assert not stopping.done()
        gate.open.set()
        await stopping
        assert consumer.statistics.acknowledged == 5
    assert sorted(gate.done) == list(range(5))
    await bench.has(1)


async def test_stopping_gives_back_what_it_can_not_finish_in_time(bench: Workbench) -> None:
    first, second, message = Gate(), Gate(), ping(1)
    second.open.set()
    async with bench.consuming(first) as (publisher, consumer):
        await bench.send(publisher, message)
        await eventually(lambda: len(first.seen) == 1)
        started = time.monotonic()
        await consumer.stop(grace_s=0.2)
        assert 0.2 <= time.monotonic() - started < 30
        assert (consumer.statistics.requeued, consumer.statistics.acknowledged) == (1, 0)
        # The next consumer gets it, and can tell that it is the same.
        async with bench.consuming(second):
            await eventually(lambda: second.done == [1])
    assert second.seen[0].redelivered
    assert second.seen[0].message.message_id == message.message_id
    assert first.done == []


async def test_a_stopped_consumer_takes_nothing_more_though_its_connection_comes_back(bench: Workbench) -> None:
    # While one consumer of a process has stopped, others may still be finishing; on RabbitMQ before 4.3 each message
    # that it took and gave back would come closer to its delivery limit.
    gate, fresh = Gate(), Gate()
    gate.open.set()
    fresh.open.set()
    async with proxy_to(bench.url) as proxy, bench.publisher() as publisher:
        consumer = bench.consumer(gate, publisher, url=proxy.url)
        async with running(consumer):
            await consumer.stop(grace_s=1)
            await eventually(lambda: proxy.accepted == 2)
            await bench.send(publisher, ping(1))
            await stays(lambda: consumer.statistics.delivered == 0, for_s=0.4)
            async with bench.consuming(fresh):
                await eventually(lambda: fresh.done == [1])
    assert not fresh.seen[0].redelivered


async def test_stopping_while_the_broker_is_out_of_reach_ends(bench: Workbench) -> None:
    gate = Gate()
    async with proxy_to(bench.url) as proxy, bench.publisher() as publisher:
        consumer = bench.consumer(gate, publisher, url=proxy.url)
        async with running(consumer):
            await bench.send(publisher, ping(1))
            await eventually(lambda: len(gate.seen) == 1)
            await proxy.stop()
            await eventually(lambda: not consumer.connected)
            async with asyncio.timeout(30):
                await consumer.stop(grace_s=0.2)
    # The broker gives the message to the next one.
    await bench.has(1)
