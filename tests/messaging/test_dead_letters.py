"""Dead letters: looked at without harm, sent back without a loss, and never in circles."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from pika.spec import BasicProperties

from labs.broker import VirtualHost
from labs.errors import BrokerError, PermanentError, Unroutable
from labs.messaging.dead_letters import browse, dead_letter, redrive
from labs.messaging.delivery import Delivery
from labs.messaging.message import Message
from labs.messaging.publisher import Publisher
from tests.waiting import eventually
from tests.workbench import Workbench, ping, workbench_in


async def bury(bench: Workbench, publisher: Publisher, message: Message, reason: str = "no") -> None:
    properties = message.failed(reason).properties()
    await dead_letter(publisher, properties, message.body, queue=bench.queue, reason=reason)


async def test_browsing_leaves_the_letters_where_they_are_in_order(bench: Workbench) -> None:
    messages = [ping(n) for n in range(10)]
    async with bench.publisher() as publisher:
        for message in messages:
            await bury(bench, publisher, message)
    for _ in range(5):
        letters = await browse(bench.url, bench.dlq)
        assert [letter.message_id for letter in letters] == [message.message_id for message in messages]
    assert await bench.depth(bench.dlq) == 10


async def test_browsing_shows_as_many_as_match_and_are_asked_for(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        for n in range(6):
            await bury(bench, publisher, ping(n), reason="odd" if n % 2 else "even")
    odd = await browse(bench.url, bench.dlq, limit=2, match=lambda letter: letter.reason == "odd")
    assert [letter.body for letter in odd] == [ping(1).body, ping(3).body]


async def test_a_letter_tells_why_it_is_there(bench: Workbench) -> None:
    before = datetime.now(UTC)
    message = ping(1, "my secret").next_attempt("first").redriven()
    async with bench.publisher() as publisher:
        await bury(bench, publisher, message, reason="TransientError: busy")
    letter = (await browse(bench.url, bench.dlq))[0]
    assert (letter.queue, letter.source, letter.type) == (bench.dlq, bench.queue, "ping")
    assert (letter.reason, letter.attempts, letter.redrives) == ("TransientError: busy", 1, 1)
    assert letter.died_at is not None
    assert before <= letter.died_at <= datetime.now(UTC)
    assert len(letter.trail) == 2
    assert "my secret" not in repr(letter)


async def test_a_queue_that_is_missing_is_an_error(bench: Workbench) -> None:
    with pytest.raises(BrokerError, match="NOT_FOUND"):
        await browse(bench.url, "no-such.dlq")


async def test_a_dry_run_tells_and_moves_nothing(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        for n in range(4):
            await bury(bench, publisher, ping(n))
    planned = await redrive(bench.url, bench.dlq, publisher=None, match=lambda letter: letter.body != ping(0).body)
    assert (len(planned.matched), planned.left) == (3, 1)
    assert await bench.depth(bench.dlq) == 4
    assert await bench.depth() == 0


async def test_a_redrive_starts_attempts_anew_and_keeps_the_identity(bench: Workbench) -> None:
    message = ping(1).next_attempt("one").next_attempt("two")
    async with bench.publisher() as publisher:
        await bury(bench, publisher, message)
        done = await redrive(bench.url, bench.dlq, publisher=publisher)
    assert [letter.message_id for letter in done.matched] == [message.message_id]
    properties, body = await bench.take()
    headers = properties.headers or {}
    assert (properties.message_id, body) == (message.message_id, message.body)
    assert (headers["attempt"], headers["redrives"], len(headers["trail"])) == (1, 1, 3)
    # A quorum queue adds its own count of deliveries to what it delivers.
    assert not {name for name in headers if name.startswith(("dead-letter", "x-"))} - {"x-delivery-count"}
    assert await bench.depth(bench.dlq) == 0


async def test_a_redrive_moves_what_matches_and_no_more_than_it_may(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        for n in range(6):
            await bury(bench, publisher, ping(n), reason="odd" if n % 2 else "even")
        done = await redrive(
            bench.url, bench.dlq, publisher=publisher, match=lambda letter: letter.reason == "odd", limit=2
        )
    assert (len(done.matched), done.left) == (2, 4)
    left = await browse(bench.url, bench.dlq)
    assert [letter.body for letter in left] == [ping(n).body for n in (0, 2, 4, 5)]


async def test_letters_that_fail_again_are_not_moved_twice(bench: Workbench) -> None:
    handled: list[str] = []

    async def failing(delivery: Delivery) -> None:
        handled.append(delivery.message.message_id)
        raise PermanentError("still no")

    # Given a worker that fails faster than the redrive goes on,
    async with bench.consuming(failing) as (publisher, _):
        for n in range(20):
            await bury(bench, publisher, ping(n))
        # when the letters are redriven,
        async with asyncio.timeout(60):
            done = await redrive(bench.url, bench.dlq, publisher=publisher)
        # then each went round once, and is back with its redrive counted.
        await eventually(lambda: len(handled) == 20)
        letters = await bench.letters(20)
        assert len(done.matched) == len(set(handled)) == len(handled) == 20
        assert {letter.redrives for letter in letters} == {1}
        await redrive(bench.url, bench.dlq, publisher=publisher)
        await eventually(lambda: len(handled) == 40)
        assert {letter.redrives for letter in await bench.letters(20)} == {2}


async def test_a_redrive_without_its_queue_loses_nothing(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        await bury(bench, publisher, ping())
        await asyncio.to_thread(bench.vhost.management.delete_queue, bench.vhost.name, bench.queue)
        with pytest.raises(Unroutable):
            await redrive(bench.url, bench.dlq, publisher=publisher)
    await bench.has(1, queue=bench.dlq)


async def test_what_the_broker_gave_up_itself_is_shown_and_redriven(messaging_vhost: VirtualHost) -> None:
    bench = workbench_in(messaging_vhost, delivery_limit=1)
    message = ping(1)
    # Given a worker that dies on a message again and again, until the queue's limit is reached,
    async with bench.publisher() as publisher:
        await bench.send(publisher, message)
        async with bench.channel() as channel:
            while (got := await channel.get(bench.queue)) is not None:
                channel.raw.basic_reject(got[0].delivery_tag, requeue=True)
        # then the letter tells so,
        letter = (await bench.letters(1))[0]
        assert (letter.source, letter.reason) == (bench.queue, "by the broker: delivery_limit")
        assert letter.message_id == message.message_id
        assert letter.died_at is not None
        # and what goes back is clean of the broker's headers.
        await redrive(bench.url, bench.dlq, publisher=publisher)
    properties, body = await bench.take()
    assert body == message.body
    assert not {name for name in properties.headers or {} if name.startswith("x-")} - {"x-delivery-count"}
    assert (properties.headers or {})["redrives"] == 1


async def test_letters_that_are_no_messages_can_be_redriven_too(bench: Workbench) -> None:
    properties = BasicProperties(
        content_type="application/pdf",
        headers={"attempt": "many", "trail": 5, "redrives": "x", "x-death": [], "cv": "Ada Lovelace"},
    )
    async with bench.publisher() as publisher:
        await dead_letter(publisher, properties, b"\xff%PDF", queue=bench.queue, reason="not JSON")
        letter = (await browse(bench.url, bench.dlq))[0]
        assert (letter.attempts, letter.redrives, letter.trail, letter.message_id) == (1, 0, (), None)
        # What strangers wrote into other headers does not travel on.
        assert not {"x-death", "cv"} & set(letter.properties.headers or {})
        await redrive(bench.url, bench.dlq, publisher=publisher)
    back, body = await bench.take()
    assert (body, back.content_type, back.delivery_mode) == (b"\xff%PDF", "application/pdf", 2)
    assert (back.headers or {})["redrives"] == 1


async def test_a_long_reason_is_cut(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        await dead_letter(publisher, BasicProperties(), b"", queue=bench.queue, reason="x" * 100_000)
    assert len((await browse(bench.url, bench.dlq))[0].reason) == 500


async def test_what_strangers_put_there_is_shown_as_well(bench: Workbench) -> None:
    async with bench.publisher() as publisher:
        headers = {"dead-letter-at": "yesterday"}
        await publisher.publish_raw(b"?", BasicProperties(headers=headers), exchange="", routing_key=bench.dlq)
    letter = (await browse(bench.url, bench.dlq))[0]
    assert (letter.source, letter.reason, letter.died_at) == (bench.queue, "by the broker: unknown", None)
