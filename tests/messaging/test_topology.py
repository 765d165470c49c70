"""A topology is data, and declaring it is harmless."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from labs.broker import VirtualHost, depths
from labs.errors import BrokerError, TopologyMismatch, Unroutable
from labs.messaging.publisher import Publisher
from labs.messaging.topology import Binding, DeadLetters, Exchange, Queue, Route, Topology, declare, work_queue
from tests.workbench import DELAYS_MS, Workbench, ping, workbench_in


def test_queues_are_named_after_their_work_queue() -> None:
    names = [queue.name for queue in work_queue("letters", delays_ms=(4000, 1000, 1000)).queues]
    assert names == ["letters", "letters.retry.1000", "letters.retry.4000", "letters.dlq"]


def test_adding_topologies_keeps_each_part_once() -> None:
    one = Topology((Exchange("x"),), (Queue("a"),), (Binding("x", "a", "k"),))
    two = Topology((Exchange("x"), Exchange("y")), (Queue("a"), Queue("b")), (Binding("x", "a", "k"),))
    both = one + two
    assert [e.name for e in both.exchanges] == ["x", "y"]
    assert [q.name for q in both.queues] == ["a", "b"]
    assert len(both.bindings) == 1
    assert both + both == both


async def test_declaring_twice_is_harmless(bench: Workbench) -> None:
    topology = bench.topology + Topology(
        exchanges=(Exchange(f"{bench.queue}.x", "topic"),), bindings=(Binding(f"{bench.queue}.x", bench.queue, "a.*"),)
    )
    async with bench.publisher() as publisher:
        await bench.send(publisher, ping())
        async with bench.channel() as channel:
            await declare(channel, topology)
            await declare(channel, topology)
        await publisher.publish(ping(), exchange=f"{bench.queue}.x", routing_key="a.b")
    await bench.has(2)


async def test_what_exists_with_other_arguments_is_a_mismatch_with_advice(bench: Workbench) -> None:
    await bench.declared()
    other = work_queue(bench.queue, delays_ms=DELAYS_MS, delivery_limit=7)
    async with bench.channel() as channel:
        with pytest.raises(TopologyMismatch, match=r"x-delivery-limit.*delete that queue or exchange"):
            await declare(channel, other)


async def test_an_exchange_of_another_kind_is_a_mismatch(bench: Workbench) -> None:
    exchange = Exchange(f"{bench.queue}.x", "topic")
    async with bench.channel() as channel:
        await declare(channel, Topology((exchange,)))
        with pytest.raises(TopologyMismatch):
            await declare(channel, Topology((replace(exchange, kind="direct"),)))


PATTERNS = ("a.b", "a.*", "*.b", "#", "a.#", "#.b", "a.#.b", "*", "*.*.*", "#.#")
KEYS = ("a.b", "a", "b", "a.b.c", "a.x.b", "x.y", "", "a.x.y.b")


@pytest.mark.parametrize("kind", ["topic", "direct", "fanout"])
async def test_it_knows_whom_a_message_reaches_as_the_broker_does(vhost: VirtualHost, kind: Any) -> None:
    bindings = tuple(Binding("x", f"q{number}", pattern) for number, pattern in enumerate(PATTERNS))
    queues = tuple(Queue(binding.queue) for binding in bindings)
    topology = Topology((Exchange("x", kind),), queues, bindings)
    expected = Counter[str]()
    async with Publisher(vhost.amqp_url, name="test", prepare=lambda channel: declare(channel, topology)) as publisher:
        for key in KEYS:
            reached = topology.reached("x", key)
            if reached:
                await publisher.publish(ping(), exchange="x", routing_key=key)
            else:
                with pytest.raises(Unroutable):
                    await publisher.publish(ping(), exchange="x", routing_key=key)
            expected.update(reached)
            found = await asyncio.to_thread(depths, vhost.amqp_url, [queue.name for queue in queues])
            assert {name: depth.messages for name, depth in found.items()} == {name: expected[name] for name in found}
    assert topology.reached("", "q3") == ("q3",)
    assert topology.reached("", "nobody") == ()


async def test_binding_a_missing_queue_is_an_error(bench: Workbench) -> None:
    exchange = Exchange(f"{bench.queue}.x")
    async with bench.channel() as channel:
        with pytest.raises(BrokerError):
            await declare(channel, Topology((exchange,), (), (Binding(exchange.name, "no-such-queue", "k"),)))


async def test_each_retry_queue_returns_its_messages_after_its_delay(messaging_vhost: VirtualHost) -> None:
    bench = workbench_in(messaging_vhost, delays_ms=(200, 1000, 600_000))
    loop = asyncio.get_running_loop()
    async with bench.publisher() as publisher:
        started = loop.time()
        # Given the long waits first: in one queue with a TTL for each message they would hold up the short one.
        for delay_ms in (600_000, 1000, 200):
            await publisher.publish(ping(delay_ms), exchange="", routing_key=f"{bench.queue}.retry.{delay_ms}")
        arrived = {}
        for _ in range(2):
            _, body = await bench.take()
            arrived[json.loads(body)["n"]] = loop.time() - started
    assert set(arrived) == {200, 1000}
    assert arrived[200] >= 0.2
    assert arrived[1000] >= 1.0
    await bench.has(1, queue=f"{bench.queue}.retry.600000")


async def test_work_and_retry_queues_are_replicated_and_the_dead_letters_can_be_looked_at(bench: Workbench) -> None:
    await bench.declared()
    kinds = {queue.name: queue for queue in bench.vhost.queues() if queue.name.startswith(bench.queue)}
    assert all(queue.durable for queue in kinds.values())
    assert kinds.pop(bench.dlq).type == "classic"
    assert {queue.type for queue in kinds.values()} == {"quorum"}
    assert all(queue.arguments["x-overflow"] == "reject-publish" for queue in kinds.values())


def test_queues_may_share_a_dead_letter_queue_behind_an_exchange() -> None:
    shared = DeadLetters("events.dlx", "events.dlq")
    both = work_queue("index", delays_ms=(1000,), dead_letters=shared)
    both += work_queue("mail", delays_ms=(1000,), dead_letters=shared) + work_queue("alone", delays_ms=(1000,))
    assert {queue: both.dead_letter_queue(queue) for queue in ("index", "mail", "alone")} == {
        "index": "events.dlq",
        "mail": "events.dlq",
        "alone": "alone.dlq",
    }
    assert both.dead_letter_route("index") == Route("events.dlx", "index")
    assert both.dead_letter_route("alone") == Route("", "alone.dlq")
    assert both.exchanges == (Exchange("events.dlx", "fanout"),)
    assert both.bindings == (Binding("events.dlx", "events.dlq"),)
