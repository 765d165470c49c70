"""One connection on a real broker: every end of it visible, every failure typed, nothing waits for ever."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import pytest

from labs.errors import BrokerError, BrokerRefused, BrokerUnavailable, ConfigurationError, TopologyMismatch
from labs.messaging.connection import Connection
from tests.proxy import proxy_to
from tests.workbench import Workbench, ping


async def test_nothing_listening_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailable, match="can't be reached"):
        await Connection.open("amqp://guest:guest@127.0.0.1:1/", name="c", timeout_s=1)


async def test_a_server_that_never_answers_is_unavailable_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await Connection.open(f"amqp://guest:guest@127.0.0.1:{port}/", name="c", timeout_s=0.4)
    assert time.monotonic() - started < 30
    server.close()


async def test_a_wrong_password_and_a_wrong_virtual_host_are_refused(bench: Workbench) -> None:
    parts = urlsplit(bench.url)
    wrong_password = parts._replace(netloc=f"{parts.username}:wrong@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(BrokerRefused, match="password"):
        await Connection.open(wrong_password, name="c")
    with pytest.raises(BrokerRefused):
        await Connection.open(parts._replace(path="/no-such-vhost").geturl(), name="c")


async def test_what_is_not_an_amqp_url_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        await Connection.open("http://example.org", name="c")


async def test_the_end_of_a_connection_is_seen(bench: Workbench) -> None:
    async with proxy_to(bench.url) as proxy:
        connection = await Connection.open(proxy.url, name="c")
        channel = await connection.channel()
        proxy.cut()
        async with asyncio.timeout(30):
            assert isinstance(await connection.closed, BrokerUnavailable)
            assert isinstance(await channel.closed, BrokerUnavailable)
        assert not channel.is_open
        # And whoever uses it afterwards is told, not left waiting.
        with pytest.raises(BrokerUnavailable):
            await connection.channel()
        for call in (channel.queue_length(bench.queue), channel.get(bench.queue), channel.set_prefetch(1)):
            with pytest.raises(BrokerUnavailable):
                await call


async def test_who_waits_for_an_answer_is_told_when_the_connection_breaks(bench: Workbench) -> None:
    async with proxy_to(bench.url) as proxy:
        connection = await Connection.open(proxy.url, name="c")
        channel = await connection.channel()
        proxy.hold_to_client()
        waiting = asyncio.create_task(channel.declare_queue(bench.queue))
        await bench.has(0)  # which also says that the queue is declared
        proxy.cut()
        with pytest.raises(BrokerUnavailable):
            async with asyncio.timeout(30):
                await waiting


async def test_a_consumer_that_the_broker_cancels_ends_its_channel(bench: Workbench) -> None:
    await bench.declared()
    async with bench.channel() as channel:
        await channel.consume(bench.queue, lambda *_: None)
        assert channel.is_open
        await asyncio.to_thread(bench.vhost.management.delete_queue, bench.vhost.name, bench.queue)
        async with asyncio.timeout(30):
            assert "cancelled" in str(await channel.closed)
        assert not channel.is_open


async def test_a_queue_of_other_arguments_is_a_mismatch_with_advice(bench: Workbench) -> None:
    await bench.declared()
    async with bench.channel() as channel:
        with pytest.raises(TopologyMismatch, match="delete that queue"):
            await channel.declare_queue(bench.queue, arguments={"x-queue-type": "classic"})


async def test_a_missing_queue_is_an_error(bench: Workbench) -> None:
    async with bench.channel() as channel:
        with pytest.raises(BrokerError, match="NOT_FOUND"):
            await channel.queue_length("no-such-queue")


async def test_getting_gives_one_message_or_none(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        await bench.send(publisher, ping(1))
    async with bench.channel() as channel:
        first = await channel.get(bench.queue)
        assert first is not None
        assert [await channel.get(bench.queue) for _ in range(3)] == [None, None, None]
        channel.raw.basic_nack(first[0].delivery_tag, requeue=True)
        again = await channel.get(bench.queue)
        assert again is not None
        assert again[0].redelivered


async def test_an_ack_has_arrived_when_its_channel_is_closed(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        await bench.send(publisher, *(ping(n) for n in range(20)))
    async with bench.channel() as channel:
        for _ in range(20):
            got = await channel.get(bench.queue)
            assert got is not None
            channel.raw.basic_ack(got[0].delivery_tag)
        await channel.close()
    assert await bench.depth() == 0


async def test_a_connection_knows_its_brokers_version_and_closes_twice(bench: Workbench) -> None:
    connection = await Connection.open(bench.url, name="c")
    assert connection.broker_version >= (3, 10)
    await connection.close()
    await connection.close()
    assert connection.closed.done()
