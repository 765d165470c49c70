"""Remote calls on a real broker, from the caller's side: each call ends, and in its own reply or the right error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from pika.spec import BasicProperties

from labs.errors import (
    BrokerUnavailable,
    MessageError,
    RpcError,
    RpcInterrupted,
    RpcTimeout,
    TransientError,
    Unroutable,
)
from labs.messaging.rpc import RpcClient
from tests.messaging.rpc_bench import Gate, client_of, declared, echo, is_empty, queue_of, serving, stranger
from tests.proxy import proxy_to
from tests.waiting import eventually
from tests.workbench import Workbench


async def test_two_hundred_calls_at_once_each_get_their_own_reply(bench: Workbench) -> None:
    turns = [asyncio.Event() for _ in range(201)]
    seen: list[int] = []

    async def last_first(request: dict[str, Any]) -> Mapping[str, Any]:
        seen.append(request["n"])
        if len(seen) == 200:
            turns[200].set()
        await turns[request["n"] + 1].wait()
        turns[request["n"]].set()
        return {"twice": request["n"] * 2}

    async with serving(bench, last_first, prefetch=200), client_of(bench) as client:
        replies = await asyncio.gather(*(client.call(queue_of(bench), {"n": n}) for n in range(200)))
    assert replies == [{"twice": n * 2} for n in range(200)]
    assert client.statistics.replied == 200


async def test_the_servers_error_arrives_with_its_code_and_its_message(bench: Workbench) -> None:
    async def refuse(request: dict[str, Any]) -> Mapping[str, Any]:
        raise RpcError("not-found", "there is no such user")

    async with serving(bench, refuse), client_of(bench) as client:
        with pytest.raises(RpcError, match="not-found: there is no such user") as caught:
            await client.call(queue_of(bench), {})
    assert (caught.value.code, caught.value.message) == ("not-found", "there is no such user")
    assert client.statistics.failed == 1


async def test_an_unexpected_error_tells_the_caller_nothing_of_its_text(bench: Workbench) -> None:
    async def fail(request: dict[str, Any]) -> Mapping[str, Any]:
        raise ValueError(f"secret {request['password']}")

    async with serving(bench, fail) as server, client_of(bench) as client:
        with pytest.raises(RpcError) as caught:
            await client.call(queue_of(bench), {"password": "hunter2"})
        assert (caught.value.code, caught.value.message) == ("internal", "the server failed to handle the request")
        assert server.statistics.failed == 1
        await eventually(lambda: is_empty(bench))


@pytest.mark.parametrize(
    "result", [None, ["a list"], {"a set": {1}}, {"not a number": float("nan")}, {"x": "y" * 2000}]
)
async def test_a_result_that_json_cannot_say_is_an_error_for_the_caller(bench: Workbench, result: Any) -> None:
    async def wrong(request: dict[str, Any]) -> Any:
        return result

    async with serving(bench, wrong, max_bytes=1000), client_of(bench) as client:
        with pytest.raises(RpcError) as caught:
            await client.call(queue_of(bench), {})
    assert caught.value.code == "internal"


async def test_a_missing_queue_is_told_at_once(bench: Workbench) -> None:
    async with client_of(bench, timeout_s=60) as client:
        started = time.monotonic()
        with pytest.raises(Unroutable, match="is a server running"):
            await client.call(queue_of(bench), {})
        assert time.monotonic() - started < 45
        assert client.statistics.unroutable == 1


async def test_without_a_server_the_call_times_out_and_its_request_expires(bench: Workbench) -> None:
    gate = Gate()
    gate.open.set()
    queue = await declared(bench)
    async with client_of(bench) as client:
        await eventually(lambda: client.connected)
        with pytest.raises(RpcTimeout, match=r"0\.3 s"):
            await client.call(queue, {"n": "gone"}, timeout_s=0.3)
        # A server that comes later does no work for a caller who has gone.
        await eventually(lambda: is_empty(bench))
        async with serving(bench, gate):
            await client.call(queue, {"n": "here"})
    assert gate.seen == [{"n": "here"}]
    assert (client.statistics.unanswered, client.statistics.replied) == (1, 1)


async def test_a_late_reply_is_dropped_and_the_next_call_gets_its_own(bench: Workbench) -> None:
    gate = Gate()
    async with serving(bench, gate), client_of(bench) as client:
        await eventually(lambda: client.connected)
        with pytest.raises(RpcTimeout):
            await client.call(queue_of(bench), {"question": 1}, timeout_s=1)
        await eventually(lambda: len(gate.seen) == 1)
        second = asyncio.create_task(client.call(queue_of(bench), {"question": 2}))
        await eventually(lambda: len(gate.seen) == 2)
        gate.open.set()
        assert await second == {"question": 2}
        assert (client.statistics.late, client.statistics.duplicate) == (1, 0)


async def test_the_reply_to_a_cancelled_call_counts_as_late(bench: Workbench) -> None:
    gate = Gate()
    async with serving(bench, gate), client_of(bench) as client:
        calling = asyncio.create_task(client.call(queue_of(bench), {}))
        await eventually(lambda: len(gate.seen) == 1)
        calling.cancel()
        gate.open.set()
        await eventually(lambda: client.statistics.late == 1)
        assert client.statistics.unanswered == 1


async def test_a_second_reply_is_dropped_and_counted(bench: Workbench) -> None:
    first, second = (b'{"answer": 1}', BasicProperties()), (b'{"answer": 2}', BasicProperties())
    async with stranger(bench, first, second), client_of(bench) as client:
        assert await client.call(queue_of(bench), {}) == {"answer": 1}
        await eventually(lambda: client.statistics.duplicate == 1)
        assert (client.statistics.replied, client.statistics.late) == (1, 0)


async def test_a_reply_to_nobodys_question_is_dropped_and_counted(bench: Workbench) -> None:
    wrong, right = (b'{"answer": 1}', BasicProperties(correlation_id="x")), (b'{"answer": 2}', BasicProperties())
    async with stranger(bench, wrong, right), client_of(bench) as client:
        assert await client.call(queue_of(bench), {}) == {"answer": 2}
        assert client.statistics.unknown == 1


UNREADABLE = {
    "not JSON": b"hello",
    "not an object": b"[1]",
    "not a number": b'{"x": NaN}',
    "not UTF-8": b"\xff",
    "too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_reply_that_cannot_be_read_is_an_error(bench: Workbench, body: bytes) -> None:
    async with stranger(bench, (body, BasicProperties())), client_of(bench) as client:
        with pytest.raises(RpcError) as caught:
            await client.call(queue_of(bench), {})
    assert caught.value.code == "bad-reply"


async def test_a_request_that_json_cannot_say_is_not_sent(bench: Workbench) -> None:
    async with client_of(bench) as client:
        with pytest.raises(MessageError):
            await client.call(queue_of(bench), {"when": object()})


async def test_a_lost_connection_ends_the_waiting_calls_at_once_and_the_client_comes_back(bench: Workbench) -> None:
    gate = Gate()
    async with serving(bench, gate), client_of(bench, timeout_s=60) as client:
        calls = [asyncio.create_task(client.call(queue_of(bench), {"n": n})) for n in range(5)]
        await eventually(lambda: len(gate.seen) == 5)
        await bench.force_close(f"{bench.queue} client")
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {RpcInterrupted}
        assert client.statistics.unanswered == 5
        # It may be tried again by whoever knows that this does no harm.
        assert isinstance(outcomes[0], TransientError)
        gate.open.set()
        assert await client.call(queue_of(bench), {"n": 6}) == {"n": 6}
        assert client.statistics.connects == 2


async def test_a_call_waits_for_a_connection_within_its_time(bench: Workbench) -> None:
    async with serving(bench, echo), proxy_to(bench.url) as proxy:
        proxy.hold_to_client()
        async with client_of(bench, url=proxy.url) as client:
            with pytest.raises(BrokerUnavailable):
                await client.call(queue_of(bench), {}, timeout_s=0.2)
            assert client.statistics.unsent == 1
            calling = asyncio.create_task(client.call(queue_of(bench), {"n": 1}))
            proxy.release()
            assert await calling == {"n": 1}


async def test_closing_the_client_ends_what_waits(bench: Workbench) -> None:
    gate = Gate()
    async with serving(bench, gate):
        client = RpcClient(bench.url, name="closing")
        async with client:
            calling = asyncio.create_task(client.call(queue_of(bench), {}, timeout_s=60))
            await eventually(lambda: len(gate.seen) == 1)
        with pytest.raises(RpcInterrupted):
            await calling
