"""One dead-letter queue for several work queues: each letter goes back to the one queue that it came from."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator

import pytest

from labs.broker import VirtualHost
from labs.errors import PermanentError
from labs.messaging.dead_letters import browse, redrive
from labs.messaging.delivery import Delivery
from labs.messaging.publisher import Publisher
from labs.messaging.topology import DeadLetters, work_queue
from tests.waiting import eventually
from tests.workbench import DELAYS_MS, Workbench, ping, running


@pytest.fixture
def benches(messaging_vhost: VirtualHost) -> list[Workbench]:
    """Two work queues."""
    name = f"events-{secrets.token_hex(4)}"
    shared = DeadLetters(f"{name}.dlx", f"{name}.dlq")
    queues = (f"{name}.index", f"{name}.mail")
    return [
        Workbench(messaging_vhost, queue, work_queue(queue, delays_ms=DELAYS_MS, delivery_limit=1, dead_letters=shared))
        for queue in queues
    ]


async def refuse(delivery: Delivery) -> None:
    raise PermanentError("no")


@contextlib.asynccontextmanager
async def refused_in_both(benches: list[Workbench]) -> AsyncIterator[None]:
    """The same message in both queues, and nobody can handle it."""
    message = ping(1)
    async with contextlib.AsyncExitStack() as stack:
        for bench in benches:
            publisher, _ = await stack.enter_async_context(bench.consuming(refuse))
            await bench.send(publisher, message)
        await benches[0].has(2, queue=_dlq(benches))
    yield


def _dlq(benches: list[Workbench]) -> str:
    return benches[0].topology.dead_letter_queue(benches[0].queue)


async def test_a_redrive_sends_each_letter_to_the_queue_it_failed_in(benches: list[Workbench]) -> None:
    index, mail = benches
    async with refused_in_both(benches):
        letters = await browse(index.url, _dlq(benches))
        assert {letter.source for letter in letters} == {index.queue, mail.queue}
        assert len({letter.message_id for letter in letters}) == 1
        async with index.publisher() as publisher:
            done = await redrive(
                index.url, _dlq(benches), publisher=publisher, match=lambda letter: letter.source == mail.queue
            )
    assert (len(done.matched), done.left) == (1, 1)
    await mail.has(1)
    assert (await index.depth(), await index.depth(_dlq(benches))) == (0, 1)


async def test_what_the_broker_gave_up_itself_comes_there_too(benches: list[Workbench]) -> None:
    index, _ = benches
    async with index.publisher() as publisher:
        await index.send(publisher, ping(1))
        # Given workers that die on it, until the queue's limit is reached,
        for _ in range(2):
            await index.has(1)
            async with index.channel() as channel:
                assert await channel.get(index.queue)
        await index.has(1, queue=_dlq(benches))
        [letter] = await browse(index.url, _dlq(benches))
        assert (letter.source, letter.reason) == (index.queue, "by the broker: delivery_limit")
        # then it can be sent back.
        await redrive(index.url, _dlq(benches), publisher=publisher)
        await index.has(1)


async def test_a_dead_letter_exchange_that_is_gone_is_made_again(benches: list[Workbench]) -> None:
    index, _ = benches
    exchange = index.topology.dead_letter_route(index.queue).exchange
    # Given a worker, whose publisher declares nothing,
    async with Publisher(index.url, name="plain") as publisher:
        consumer = index.consumer(refuse, publisher)
        async with running(consumer):
            async with index.channel() as channel:
                channel.raw.exchange_delete(exchange)
                await channel.close()
            await index.send(publisher, ping(1))
            await eventually(lambda: consumer.statistics.dead_lettered == 1)
    await index.has(1, queue=_dlq(benches))
