"""Remote calls on a real broker, from the server's side: killed, cut off, poisoned or stopped, no request circles."""

from __future__ import annotations

import asyncio
import base64

import pytest
from pika.spec import BasicProperties

from labs.programs import Program
from tests.messaging.rpc_bench import (
    Gate,
    answers_to,
    client_of,
    declared,
    echo,
    is_empty,
    queue_of,
    send_raw,
    server_process,
    serving,
)
from tests.proxy import proxy_to
from tests.waiting import eventually
from tests.workbench import Workbench


async def test_a_request_of_a_killed_server_is_answered_by_another(bench: Workbench) -> None:
    queue = queue_of(bench)
    arguments = {"url": bench.url, "queue": queue}
    with Program(server_process, name="victim", answers=False, **arguments) as victim:
        await asyncio.to_thread(victim.wait_for, "serving")
        async with client_of(bench, timeout_s=60) as client:
            # Given a server in the middle of a call,
            calling = asyncio.create_task(client.call(queue, {"n": 1}))
            await asyncio.to_thread(victim.wait_for, "asked")
            with Program(server_process, name="heir", answers=True, **arguments) as heir:
                await asyncio.to_thread(heir.wait_for, "serving")
                # when it is killed,
                await asyncio.to_thread(victim.kill)
                # then another one runs the handler again, and the caller gets one reply.
                assert await calling == {"n": 1, "pid": heir.pid}
                await asyncio.to_thread(heir.wait_for, "asked")  # its report takes another way than its reply
                assert len(victim.of("asked")) == len(heir.of("asked")) == 1
                assert client.statistics.duplicate == 0


async def test_servers_share_the_load(bench: Workbench) -> None:
    one, other = Gate(), Gate()
    async with serving(bench, one, prefetch=1), serving(bench, other, prefetch=1), client_of(bench) as client:
        calls = [asyncio.create_task(client.call(queue_of(bench), {"n": n})) for n in range(20)]
        # Each takes one and no more until it has answered.
        await eventually(lambda: len(one.seen) == len(other.seen) == 1)
        one.open.set()
        await eventually(lambda: len(one.seen) == 19)
        other.open.set()
        assert len(await asyncio.gather(*calls)) == 20
        assert len(other.seen) == 1


async def test_no_more_handlers_run_at_once_than_the_prefetch(bench: Workbench) -> None:
    gate = Gate()
    async with serving(bench, gate, prefetch=3) as server, client_of(bench) as client:
        calls = [asyncio.create_task(client.call(queue_of(bench), {"n": n})) for n in range(12)]
        await eventually(lambda: server.in_hand == 3)
        gate.open.set()
        await asyncio.gather(*calls)
    assert gate.most_at_once == 3


MALFORMED = {
    "not JSON": b"hello",
    "not an object": b"[1, 2]",
    "not UTF-8": b"\xff\xfe",
    "not a number": b'{"n": NaN}',
    "too deep": b'{"n":' * 50_000,
    "a number without end": b'{"n": ' + b"9" * 50_000 + b"}",
    "too large": b'{"n": "' + b"x" * 1_000_000 + b'"}',
    "empty": b"",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_request_is_answered_with_an_error_and_gone(bench: Workbench, body: bytes) -> None:
    gate = Gate()
    async with serving(bench, gate, max_bytes=500_000) as server, answers_to(bench) as (reply_queue, arrived):
        await send_raw(bench, body, BasicProperties(reply_to=reply_queue, correlation_id="7"))
        await eventually(lambda: len(arrived) == 1)
        [(properties, answer)] = arrived
        assert (properties.type, properties.correlation_id, answer["code"]) == ("rpc.error", "7", "malformed")
        assert (server.statistics.delivered, server.statistics.failed, server.statistics.requeued) == (1, 1, 0)
    assert gate.seen == []
    await eventually(lambda: is_empty(bench))


@pytest.mark.parametrize("reply_to", [None, ""])
async def test_a_request_that_says_not_where_to_answer_is_dropped_and_counted(
    bench: Workbench, reply_to: str | None
) -> None:
    gate = Gate()
    async with serving(bench, gate) as server:
        await send_raw(bench, b"{}", BasicProperties(reply_to=reply_to))
        await eventually(lambda: server.statistics.unanswerable == 1)
    assert gate.seen == []
    await eventually(lambda: is_empty(bench))


async def test_a_request_whose_reply_has_nowhere_to_go_harms_nobody(bench: Workbench) -> None:
    async with serving(bench, echo) as server, client_of(bench) as client:
        await send_raw(bench, b"{}", BasicProperties(reply_to="no-such-queue"))
        assert await client.call(queue_of(bench), {"n": 1}) == {"n": 1}
        await eventually(lambda: server.statistics.replied == 2)
        assert server.statistics.connects == 1


async def test_a_poisonous_reply_address_does_not_come_back_for_ever(bench: Workbench) -> None:
    # Given an address of the right form, of a node that doesn't exist: 3.10 ends the connection that answers to it,
    pid = b"\x83Xv\x00\x09reply@123" + bytes(12)
    address = f"amq.rabbitmq.reply-to.{base64.b64encode(pid).decode()}.{base64.b64encode(b'key').decode()}"
    async with serving(bench, echo) as server, client_of(bench) as client:
        await send_raw(bench, b"{}", BasicProperties(reply_to=address))
        await eventually(lambda: server.statistics.replied >= 1)
        # then it does so twice at most, and others are served.
        assert await client.call(queue_of(bench), {"n": 1}) == {"n": 1}
        assert server.statistics.connects <= 3
    await eventually(lambda: is_empty(bench))


async def test_a_server_whose_connection_is_closed_comes_back_and_answers_what_it_had(bench: Workbench) -> None:
    gate = Gate()
    async with serving(bench, gate) as server, client_of(bench) as client:
        calling = asyncio.create_task(client.call(queue_of(bench), {"n": 1}))
        await eventually(lambda: len(gate.seen) == 1)
        await bench.force_close(f"{bench.queue} server")
        await eventually(lambda: len(gate.seen) == 2)
        gate.open.set()
        assert await calling == {"n": 1}
        # The first delivery can't be answered any more: its channel is gone.
        await eventually(lambda: (server.statistics.orphaned, server.statistics.connects) == (1, 2))


async def test_a_request_whose_reply_was_cut_off_is_handled_again(bench: Workbench) -> None:
    gate = Gate()
    async with proxy_to(bench.url) as proxy, serving(bench, gate, url=proxy.url), client_of(bench) as client:
        calling = asyncio.create_task(client.call(queue_of(bench), {"n": 1}))
        await eventually(lambda: len(gate.seen) == 1)
        # Given a reply that doesn't reach the broker,
        proxy.hold_to_server()
        gate.open.set()
        # when the connection breaks,
        proxy.cut()
        proxy.release()
        # then the request is handled a second time, and answered.
        assert await calling == {"n": 1}
        assert len(gate.seen) == 2


async def test_a_deleted_queue_is_declared_again(bench: Workbench) -> None:
    async with serving(bench, echo) as server, client_of(bench) as client:
        await asyncio.to_thread(bench.vhost.management.delete_queue, bench.vhost.name, queue_of(bench))
        await eventually(lambda: server.statistics.connects == 2)
        assert await client.call(queue_of(bench), {"n": 1}) == {"n": 1}


async def test_stop_answers_what_is_in_hand_and_leaves_the_rest_to_others(bench: Workbench) -> None:
    gate = Gate()
    async with serving(bench, gate, prefetch=1) as server, client_of(bench) as client:
        first = asyncio.create_task(client.call(queue_of(bench), {"n": 1}))
        await eventually(lambda: len(gate.seen) == 1)
        second = asyncio.create_task(client.call(queue_of(bench), {"n": 2}))
        await bench.has(1, queue=queue_of(bench))
        stopping = asyncio.create_task(server.stop(grace_s=20))
        gate.open.set()
        await stopping
        assert await first == {"n": 1}
        async with serving(bench, echo, name="heir"):
            assert await second == {"n": 2}
    assert gate.seen == [{"n": 1}]


async def test_stop_gives_back_what_is_not_done_in_time(bench: Workbench) -> None:
    gate = Gate()
    async with serving(bench, gate) as server, client_of(bench) as client:
        calling = asyncio.create_task(client.call(queue_of(bench), {"n": 1}))
        await eventually(lambda: len(gate.seen) == 1)
        await server.stop(grace_s=0.05)
        assert server.statistics.requeued == 1
        async with serving(bench, echo, name="heir"):
            assert await calling == {"n": 1}


async def test_something_cancelled_inside_a_handler_is_an_error_and_not_a_circle(bench: Workbench) -> None:
    async def cancelled(request: dict[str, object]) -> dict[str, object]:
        raise asyncio.CancelledError

    async with serving(bench, cancelled) as server, answers_to(bench) as (reply_queue, arrived):
        await declared(bench)
        await send_raw(bench, b"{}", BasicProperties(reply_to=reply_queue))
        await eventually(lambda: [answer["code"] for _, answer in arrived] == ["internal"])
        assert server.statistics.requeued == 0
