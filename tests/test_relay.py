"""The relay between a real PostgreSQL and a real broker: each message at least once, none forgotten."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from labs.broker import VirtualHost
from labs.errors import DatabaseUnavailable
from labs.messaging.publisher import Publisher
from labs.messaging.topology import Binding, Exchange, Queue, Topology, declare
from labs.relay import Relay
from labs.store.database import Database
from labs.store.hints import Listener, Ringer
from labs.store.outbox import OUTBOX_HINT, Outbox
from tests.databases import TRACEPARENT, count, create, jobs_of, letter, opened, rows
from tests.proxy import Proxy, proxy_to
from tests.waiting import eventually
from tests.workbench import Workbench, workbench_in

EXCHANGE = "cover-letter"
KEY = "cover-letter.generate"


@dataclass(frozen=True)
class Post:
    """An outbox, and a queue that all of it is routed to."""

    url: str
    database: Database
    bench: Workbench
    topology: Topology
    broker: Proxy

    async def fill(self, jobs: int) -> list[str]:
        """So many jobs; returns the ids of their messages."""
        at_once = asyncio.Semaphore(5)  # more would only wait for a connection

        async def one() -> None:
            async with at_once:
                await create(jobs_of(self.database))

        await asyncio.gather(*(one() for _ in range(jobs)))
        return [row["id"] for row in await rows(self.database, "SELECT message_id::text AS id FROM outbox")]

    async def unpublished(self) -> int:
        return await Outbox(self.database).unpublished()

    async def done(self) -> bool:
        return await self.unpublished() == 0

    @contextlib.asynccontextmanager
    async def relay(
        self, *sweeps: Callable[[], Awaitable[None]], **options: float
    ) -> AsyncIterator[tuple[Relay, Publisher]]:
        """A relay with a publisher of its own, not yet running."""
        knobs = {"batch": 50, "lease_s": 15.0, "reconcile_after_s": 3600.0, "timeout_s": 60.0} | options
        prepare = lambda channel: declare(channel, self.topology)  # noqa: E731
        publisher = Publisher(self.broker.url, name="relay", prepare=prepare, timeout_s=knobs["timeout_s"])
        listener = Listener(self.url, OUTBOX_HINT)
        async with publisher, listener:
            await publisher.wait_connected(timeout_s=30)
            relay = Relay(
                Outbox(self.database),
                publisher,
                listener,
                batch=int(knobs["batch"]),
                lease_s=knobs["lease_s"],
                reconcile_after_s=knobs["reconcile_after_s"],
                sweeps=sweeps,
            )
            yield relay, publisher

    @contextlib.asynccontextmanager
    async def running(self, *sweeps: Callable[[], Awaitable[None]], **options: float) -> AsyncIterator[Publisher]:
        """A relay that runs for the length of the block."""
        async with self.relay(*sweeps, **options) as (relay, publisher):
            task = asyncio.create_task(relay.run())
            try:
                yield publisher
                assert not task.done(), "nothing may end a relay but its process"
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def arrived(self) -> Counter[str]:
        """How often each message lies in the queue, which is empty afterwards."""
        found: Counter[str] = Counter()
        async with self.bench.channel() as channel:
            while (got := await channel.get(self.bench.queue)) is not None:
                channel.raw.basic_ack(got[0].delivery_tag)
                found[str(got[1].message_id)] += 1
            await channel.close()
        return found


@pytest.fixture
async def post(database_url: str, vhost: VirtualHost) -> AsyncIterator[Post]:
    bench = workbench_in(vhost)
    topology = Topology((Exchange(EXCHANGE),), (Queue(bench.queue),), (Binding(EXCHANGE, bench.queue, KEY),))
    async with opened(database_url) as database, proxy_to(vhost.amqp_url) as broker:
        yield Post(database_url, database, bench, topology, broker)


async def test_a_message_arrives_as_it_was_committed(post: Post) -> None:
    body = letter()
    await create(jobs_of(post.database), body)
    async with post.relay() as (relay, _):
        assert await relay.relay_batch() == 1
        assert await relay.relay_batch() == 0
    properties, sent = await post.bench.take()
    row = (await rows(post.database, "SELECT * FROM outbox"))[0]
    assert sent == row["body"].encode() == body.model_dump_json(exclude_none=True).encode()
    assert (properties.message_id, properties.type) == (str(row["message_id"]), KEY)
    assert (properties.correlation_id, properties.delivery_mode) == (body.jobId, 2)
    assert (properties.headers or {})["traceparent"] == TRACEPARENT
    assert (row["publishes"], row["published_at"] is not None) == (1, True)


async def test_two_relays_share_five_hundred_rows_and_lose_none(post: Post) -> None:
    ids = await post.fill(500)
    async with post.relay(batch=10) as (first, one), post.relay(batch=10) as (second, two):
        running = [asyncio.create_task(relay.run()) for relay in (first, second)]
        await eventually(post.done)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        # Both had their part,
        assert one.statistics.confirmed + two.statistics.confirmed == 500
        assert min(one.statistics.confirmed, two.statistics.confirmed) > 0
    # and with nobody killed each message was published just once.
    assert await post.arrived() == Counter(ids)


async def test_a_relay_that_dies_before_its_mark_leaves_duplicates_and_no_loss(post: Post) -> None:
    ids = await post.fill(20)
    # Given a relay whose rows are confirmed by the broker but not marked when it dies,
    token, claimed = await Outbox(post.database).claim(limit=5, lease_s=0.3)
    async with post.relay() as (relay, publisher):
        await asyncio.gather(*(relay._publish(row) for row in claimed))
        assert publisher.statistics.confirmed == 5
    # when another runs, then its claims run out, and every row is published.
    async with post.running():
        await eventually(post.done)
    arrived = await post.arrived()
    twice = {row.message.message_id for row in claimed}
    assert arrived == Counter(ids) + Counter(twice)
    # What the dead one may still do changes nothing.
    await Outbox(post.database).mark_published(token, [row.id for row in claimed])
    assert await count(post.database, "outbox", "publishes <> 1") == 0


async def test_an_unroutable_message_waits_and_does_not_block_the_others(post: Post) -> None:
    await post.fill(30)
    await rows(post.database, "UPDATE outbox SET routing_key = 'nowhere' WHERE id %% 3 = 0")
    lost = await count(post.database, "outbox", "routing_key = 'nowhere'")
    assert lost >= 9
    # Given a batch so small that the unroutable ones could fill it again and again,
    async with post.running(batch=5):

        async def others_are_published() -> bool:
            return await post.unpublished() == lost

        await eventually(others_are_published)

        # then the reason stands in each row that waits,
        async def reasons_are_given() -> bool:
            return await count(post.database, "outbox", "last_error LIKE '%%bound%%'") == lost

        await eventually(reasons_are_given)
        # and it is published as soon as there is a queue for it.
        async with post.bench.channel() as channel:
            await channel.bind_queue(post.bench.queue, exchange=EXCHANGE, key="nowhere")
        await eventually(post.done)
    assert len(await post.arrived()) == 30


async def test_a_lost_broker_is_waited_out(post: Post) -> None:
    async with post.running():
        # Given a broker that takes messages and then is out of reach,
        await post.fill(10)
        await eventually(post.done)
        post.broker.hold_to_client()
        ids = await post.fill(200)
        await eventually(lambda: _filled(post.bench, 11))
        post.broker.cut()
        # when it is back, everything is published; what had no confirm perhaps twice.
        post.broker.release()
        await eventually(post.done)
    arrived = await post.arrived()
    assert set(arrived) == set(ids)
    assert len(ids) == 210


async def test_ended_database_sessions_are_survived(post: Post) -> None:
    async with post.running():
        await post.fill(5)
        await eventually(post.done)
        # Given a server that ends every session, as in a restart,
        async with Database(post.url, name="operator", pool=1) as operator, operator.connection() as db:
            await db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

        # then what is committed afterwards is relayed.
        async def committed() -> bool:
            with contextlib.suppress(Exception):
                await create(jobs_of(post.database))
                return True
            return False

        await eventually(committed)
        await eventually(post.done)
    assert len(await post.arrived()) == await count(post.database, "outbox")


async def test_outages_longer_than_every_timeout_are_waited_out(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    said = ""

    def waits(reason: str) -> bool:
        nonlocal said
        said += "".join(capsys.readouterr())
        return any("relay waits" in line and reason in line for line in said.splitlines())

    # Given a relay whose database can't be reached, and then is back,
    async with Database(post.url, name="relay", pool=1, timeout_s=0.2) as small:
        await small.wait_until_up(timeout_s=30)
        outage = contextlib.AsyncExitStack()
        await outage.enter_async_context(small.connection())
        async with replace(post, database=small).running():
            await eventually(lambda: waits("the database doesn't answer"))
            await outage.aclose()
            await post.fill(3)
            await eventually(post.done)
    # and one whose broker answers nothing for longer than it waits for a confirm,
    async with post.running(timeout_s=0.8):
        post.broker.hold_to_client()
        await post.fill(3)
        await eventually(lambda: waits("no confirm within"))
        post.broker.cut()
        post.broker.release()
        # then both go on where they were.
        await eventually(post.done)
    assert len(await post.arrived()) == 6


async def test_a_hint_makes_the_relay_look_at_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a relay that would hardly ever look by itself,
    monkeypatch.setattr("labs.relay.POLL_S", 600.0)
    async with post.running():
        query = "query LIKE 'LISTEN%%' AND state = 'idle' AND datname = current_database()"
        await eventually(lambda: _some(post.database, "pg_stat_activity", query))
        ringer = Ringer(post.database)
        for _ in range(5):
            await create(jobs_of(post.database))
            ringer.ring(OUTBOX_HINT)
            # then it looks when it is told to.
            await eventually(post.done)
    assert await post.bench.depth() == 5


async def _filled(bench: Workbench, least: int) -> bool:
    return await bench.depth() >= least


async def _some(database: Database, table: str, where: str) -> bool:
    return await count(database, table, where) > 0


async def test_without_hints_it_looks_all_the_same(post: Post) -> None:
    async with post.running():
        await post.fill(1)
        await eventually(post.done)
        await post.fill(1)
        await eventually(post.done)


async def test_what_vanished_after_its_confirm_is_published_again(post: Post) -> None:
    ids = await post.fill(3)
    # Given effects of all messages but one,
    await rows(
        post.database,
        "INSERT INTO inbox (consumer, message_id, outcome) "
        "SELECT 'cover-letter.generate', message_id, 'done' FROM outbox WHERE message_id <> %s::uuid",
        ids[0],
    )
    async with post.running(reconcile_after_s=0.4):
        await eventually(post.done)
        # and a queue that is purged before anybody has consumed,
        assert set(await post.arrived()) == set(ids)
        # then that one comes again, and the others are settled.
        await eventually(lambda: _filled(post.bench, 1))
        assert set(await post.arrived()) == {ids[0]}
        assert await count(post.database, "outbox", "settled_at IS NOT NULL") == 2


async def test_all_sweeps_are_run_though_one_finds_no_database(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labs.relay._SWEEP_EVERY_S", 0.05)
    swept = Counter[str]()

    async def fails() -> None:
        swept["fails"] += 1
        raise DatabaseUnavailable("away")

    async def works() -> None:
        swept["works"] += 1

    async with post.running(fails, works):
        await eventually(lambda: min(swept["fails"], swept["works"]) >= 2)
        # The relay goes on meanwhile.
        await post.fill(1)
        await eventually(post.done)
