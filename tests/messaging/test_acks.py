"""Gathered acks: one never covers a delivery that is not finished, whatever the order; and few are sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from pika.exceptions import ChannelWrongStateError

from labs.messaging.acks import Acks
from labs.messaging.connection import Channel
from labs.messaging.delivery import Delivery
from tests.proxy import proxy_to
from tests.waiting import eventually
from tests.workbench import Workbench, number, ping, running


class Broker:
    """Keeps account of a channel's deliveries as AMQP says; stands for the channel, too."""

    def __init__(self) -> None:
        self.is_open = True
        self.sent = 0
        self.open: set[int] = set()
        self.acked: set[int] = set()
        self.requeued: set[int] = set()
        self.acks: list[tuple[int, bool]] = []

    @property
    def raw(self) -> Broker:
        return self

    def deliver(self) -> int:
        self.sent += 1
        self.open.add(self.sent)
        return self.sent

    def basic_ack(self, tag: int, multiple: bool = False) -> None:
        self._check(tag)
        covered = {other for other in self.open if other <= tag} if multiple else {tag}
        self.acks.append((tag, multiple))
        self.acked |= covered
        self.open -= covered

    def basic_nack(self, tag: int, requeue: bool) -> None:
        self._check(tag)
        self.open.remove(tag)
        self.requeued.add(tag)

    basic_reject = basic_nack

    def _check(self, tag: int) -> None:
        if not self.is_open:
            raise ChannelWrongStateError
        assert tag in self.open, "PRECONDITION_FAILED - unknown delivery tag"


def acks_of(broker: Broker) -> tuple[Acks, Counter[str]]:
    counted: Counter[str] = Counter()
    return Acks(cast(Channel, broker), lambda outcome, number: counted.update({outcome: number})), counted


#: What may happen on a channel; the number chooses one of the deliveries that are being worked on.
EVENTS = st.lists(
    st.tuples(st.sampled_from(["deliver"] * 5 + ["finish"] * 5 + ["requeue", "reject", "flush"]), st.integers(0, 99)),
    max_size=200,
)


@given(EVENTS)
def test_an_ack_never_covers_an_unfinished_delivery_and_each_finished_one_is_acked(events: Any) -> None:
    async def play() -> None:
        broker = Broker()
        acks, counted = acks_of(broker)
        working: list[int] = []
        finished, returned = set(), set()
        for event, choice in events:
            if event == "deliver":
                working.append(broker.deliver())
            elif event == "flush":
                acks.flush()
                # Whatever has been finished is acknowledged now, and nothing else.
                assert broker.acked == finished
            elif working:
                tag = working.pop(choice % len(working))
                {"finish": acks.ack, "requeue": acks.requeue, "reject": acks.reject}[event](tag)
                (finished if event == "finish" else returned).add(tag)
            assert broker.acked <= finished
        await asyncio.sleep(0)  # the turn ends
        assert broker.acked == finished
        assert broker.requeued == returned
        assert broker.open == set(working)
        assert counted == Counter({"acknowledged": len(finished), "requeued": len(returned)})

    asyncio.run(play())


async def test_what_one_turn_finishes_in_whatever_order_takes_one_ack() -> None:
    broker = Broker()
    acks, _ = acks_of(broker)
    tags = [broker.deliver() for _ in range(10)]
    for tag in reversed(tags):
        acks.ack(tag)
    assert broker.acks == []
    await asyncio.sleep(0)
    assert broker.acks == [(10, True)]


async def test_beyond_an_unfinished_delivery_each_takes_its_own_ack() -> None:
    broker = Broker()
    acks, _ = acks_of(broker)
    for _ in range(6):
        broker.deliver()
    for tag in (6, 2, 1, 4):
        acks.ack(tag)
    acks.flush()
    assert broker.acks == [(2, True), (4, False), (6, False)]
    acks.ack(3)
    acks.flush()
    assert broker.acks[3:] == [(3, False)]
    assert broker.open == {5}


async def test_what_was_given_back_does_not_stand_in_the_way_of_gathering() -> None:
    broker = Broker()
    acks, _ = acks_of(broker)
    first, second, third, fourth = (broker.deliver() for _ in range(4))
    acks.requeue(second)
    for tag in (first, third, fourth):
        acks.ack(tag)
    acks.flush()
    assert broker.acks == [(fourth, True)]
    assert (broker.acked, broker.requeued) == ({first, third, fourth}, {second})


async def test_what_was_finished_when_its_channel_was_lost_is_counted_as_orphaned() -> None:
    broker = Broker()
    acks, counted = acks_of(broker)
    acks.ack(broker.deliver())
    acks.ack(broker.deliver())
    broker.is_open = False
    acks.requeue(broker.deliver())
    acks.flush()
    assert (broker.acked, broker.requeued) == (set(), set())
    assert counted == Counter({"orphaned": 2})


async def test_when_a_channel_is_lost_those_in_hand_come_back_and_the_finished_do_not(bench: Workbench) -> None:
    # Given a handler that finishes each second message at once, and holds the others,
    held: list[Delivery] = []
    never = asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        if number(delivery.body) % 2:
            return
        held.append(delivery)
        await never.wait()

    async with proxy_to(bench.url) as proxy, bench.publisher() as publisher:
        await bench.send(publisher, *(ping(n) for n in range(60)))
        consumer = bench.consumer(handler, publisher, url=proxy.url, prefetch=40)
        async with running(consumer):
            # so that the last can only come when the acks of the first have arrived,
            await eventually(lambda: consumer.statistics.delivered == 60 and len(held) == 30)
            await eventually(lambda: consumer.statistics.acknowledged == 30)
            first, held[:] = {number(delivery.body) for delivery in held}, []
            proxy.cut()
            # then all that were in hand come back,
            await eventually(lambda: len(held) == 30)
            await consumer.stop(grace_s=0)
    assert {number(delivery.body) for delivery in held} == first
    # and of the others at most those that the last acks were for.
    assert consumer.statistics.delivered - 60 - 30 <= 10
    await bench.has(30)


async def test_stopping_acknowledges_what_was_finished_in_its_last_turn(bench: Workbench) -> None:
    gate = asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        await gate.wait()

    async with bench.consuming(handler) as (publisher, consumer):
        await bench.send(publisher, *(ping(n) for n in range(20)))
        await eventually(lambda: consumer.in_hand == 20)
        gate.set()
        await consumer.stop(grace_s=5)
        assert consumer.statistics.acknowledged == 20
    assert await bench.depth() == 0
