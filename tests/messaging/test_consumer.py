"""The consumer's verdicts on a real broker: done, retried, deferred, held, or given up, and never lost."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pika.spec import BasicProperties

from labs.errors import Deferred, DependencyDown, PermanentError, TransientError
from labs.messaging.dead_letters import redrive
from labs.messaging.delivery import Delivery
from tests.proxy import proxy_to
from tests.waiting import eventually, stays
from tests.workbench import DELAYS_MS, Workbench, number, ping, running


class Recorder:
    """A handler that notes what it gets, and raises what it is told to."""

    def __init__(self, *errors: Exception | None, always: Exception | None = None) -> None:
        self._errors = list(errors)
        self._always = always
        self.seen: list[Delivery] = []
        self.at_s: list[float] = []

    async def __call__(self, delivery: Delivery) -> None:
        self.seen.append(delivery)
        self.at_s.append(asyncio.get_running_loop().time())
        error = self._errors.pop(0) if self._errors else self._always
        if error is not None:
            raise error

    @property
    def attempts(self) -> list[int]:
        return [delivery.message.attempt for delivery in self.seen]

    @property
    def waits_ms(self) -> list[float]:
        return [1000 * (after - before) for before, after in zip(self.at_s, self.at_s[1:], strict=False)]


async def test_a_message_is_acknowledged_only_after_its_handler(bench: Workbench) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    async def slow(delivery: Delivery) -> None:
        started.set()
        await finish.wait()

    async with bench.consuming(slow) as (publisher, consumer):
        await bench.send(publisher, ping())
        await started.wait()
        assert (consumer.in_hand, consumer.statistics.acknowledged) == (1, 0)
        finish.set()
        await eventually(lambda: consumer.statistics.acknowledged == 1)
        assert consumer.in_hand == 0
    assert await bench.depth() == 0


async def test_a_handler_gets_the_message_its_body_and_how_it_came(bench: Workbench) -> None:
    recorder, message = Recorder(), ping(5, "hello")
    async with bench.consuming(recorder) as (publisher, _):
        await bench.send(publisher, message)
        await eventually(lambda: bool(recorder.seen))
    delivery = recorder.seen[0]
    assert delivery.message == message
    assert number(delivery.body) == 5
    assert (delivery.queue, delivery.exchange, delivery.routing_key) == (bench.queue, "", bench.queue)
    assert not delivery.redelivered


async def test_a_transient_failure_is_retried_after_each_delay_and_then_given_up(bench: Workbench) -> None:
    recorder, message = Recorder(always=TransientError("the model is busy")), ping()
    async with bench.consuming(recorder) as (publisher, consumer):
        await bench.send(publisher, message)
        letter = (await bench.letters(1))[0]
        await eventually(lambda: consumer.statistics.acknowledged == 4)
        assert (consumer.statistics.retried, consumer.statistics.dead_lettered) == (3, 1)
    # Four attempts, with at least the delays between them,
    assert recorder.attempts == [1, 2, 3, 4]
    assert all(waited >= delay for waited, delay in zip(recorder.waits_ms, DELAYS_MS, strict=True))
    # and a letter that tells all of it.
    assert (letter.message_id, letter.source, letter.attempts) == (message.message_id, bench.queue, 4)
    assert letter.reason == "TransientError: the model is busy"
    assert letter.died_at is not None
    assert [line.split(" ", 1)[1] for line in letter.trail] == [
        f"attempt {n}: TransientError: the model is busy" for n in (1, 2, 3, 4)
    ]
    assert letter.body == message.body


async def test_a_retry_that_succeeds_leaves_nothing_behind(bench: Workbench) -> None:
    recorder = Recorder(TransientError("once"), TransientError("twice"))
    async with bench.consuming(recorder) as (publisher, consumer):
        await bench.send(publisher, ping())
        await eventually(lambda: consumer.statistics.acknowledged == 3)
    assert recorder.attempts == [1, 2, 3]
    assert len({delivery.message.message_id for delivery in recorder.seen}) == 1
    depths = [await bench.depth(queue.name) for queue in bench.topology.queues]
    assert depths == [0] * len(depths)


async def test_a_permanent_error_goes_to_the_dead_letters_at_once(bench: Workbench) -> None:
    recorder = Recorder(always=PermanentError("no such job"))
    async with bench.consuming(recorder) as (publisher, consumer):
        await bench.send(publisher, ping())
        letter = (await bench.letters(1))[0]
    assert recorder.attempts == [1]
    assert (letter.reason, letter.attempts, len(letter.trail)) == ("PermanentError: no such job", 1, 1)
    assert consumer.statistics.retried == 0


async def test_a_deferred_message_comes_back_without_counting_an_attempt(bench: Workbench) -> None:
    recorder = Recorder(*(Deferred("later", delay_s=0.1) for _ in range(6)))
    async with bench.consuming(recorder) as (publisher, consumer):
        await bench.send(publisher, ping())
        await eventually(lambda: consumer.statistics.acknowledged == 7)
        assert consumer.statistics.deferred == 6
    # More returns than there are attempts, each after the shortest listed delay that is long enough.
    assert recorder.attempts == [1] * 7
    assert all(waited >= 120 for waited in recorder.waits_ms)


async def test_a_dependency_that_is_down_holds_messages_and_burns_no_attempts(bench: Workbench) -> None:
    recorder = Recorder(*(DependencyDown("no database") for _ in range(3)))
    async with bench.consuming(recorder, prefetch=1) as (publisher, consumer):
        await bench.send(publisher, ping(1), ping(2))
        await eventually(lambda: consumer.statistics.acknowledged == 2)
        assert consumer.statistics.retried == consumer.statistics.deferred == 0
    # With all of the prefetch held, the second waits in its queue until the first is done.
    assert [number(delivery.body) for delivery in recorder.seen] == [1, 1, 1, 1, 2]
    assert set(recorder.attempts) == {1}
    # Held, not hammered.
    assert recorder.waits_ms[0] >= 100
    assert recorder.waits_ms[1] >= 200


async def test_a_held_message_is_let_go_when_its_channel_is_lost(bench: Workbench) -> None:
    down = True
    handled: list[bool] = []

    async def handler(delivery: Delivery) -> None:
        if down:
            raise DependencyDown("no database")
        handled.append(delivery.redelivered)

    async with proxy_to(bench.url) as proxy, bench.publisher() as publisher:
        consumer = bench.consumer(handler, publisher, url=proxy.url)
        async with running(consumer):
            await bench.send(publisher, ping())
            await eventually(lambda: consumer.in_hand == 1)
            proxy.cut()
            await eventually(lambda: consumer.statistics.connects == 2 and consumer.statistics.delivered == 2)
            # The first delivery is no longer held beside the second.
            await eventually(lambda: consumer.in_hand == 1)
            down = False
            await eventually(lambda: consumer.statistics.acknowledged == 1)
    assert handled == [True]
    assert consumer.statistics.orphaned == 1


async def test_a_retry_after_picks_a_delay_that_is_long_enough(bench: Workbench) -> None:
    recorder = Recorder(TransientError("busy", retry_after_s=0.2))
    async with bench.consuming(recorder) as (publisher, consumer):
        await bench.send(publisher, ping())
        await eventually(lambda: consumer.statistics.acknowledged == 2)
    assert recorder.attempts == [1, 2]
    assert recorder.waits_ms[0] >= 240


async def test_texts_of_unexpected_errors_never_travel_or_reach_a_log(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder(always=ValueError("Ada Lovelace, 5 years of Python"))
    async with bench.consuming(recorder) as (publisher, _):
        await bench.send(publisher, ping())
        letter = (await bench.letters(1))[0]
    assert (letter.attempts, letter.reason) == (4, "unexpected ValueError")
    headers = letter.properties.headers or {}
    assert "Lovelace" not in repr(headers)
    logged = "".join(capsys.readouterr())
    assert "the handler failed unexpectedly" in logged
    assert "ValueError" in logged
    assert "test_consumer.py:" in logged
    assert "Lovelace" not in logged


GOOD_HEADERS = {"version": 1, "occurred-at": "2026-01-01T00:00:00+00:00"}


def malformed(body: bytes = b'{"n": 1}', **changes: Any) -> tuple[bytes, BasicProperties]:
    fields = {"message_id": str(uuid.uuid4()), "type": "ping", "headers": GOOD_HEADERS, "delivery_mode": 2} | changes
    return body, BasicProperties(**fields)


MALFORMED = {
    "not JSON": malformed(b"%PDF-1.7"),
    "body: Input should be": malformed(b"[1, 2]"),
    "no header 'version'": malformed(headers={}),
    "no header 'occurred-at'": malformed(headers={"version": 1}),
    "no message_id": malformed(message_id=None),
    "not a UUID": malformed(message_id="job 7"),
    "no type": malformed(type=None),
    "version 9; known": malformed(headers=GOOD_HEADERS | {"version": 9}),
    "a header of the envelope": malformed(headers=GOOD_HEADERS | {"attempt": "many", "trail": 5, "redrives": "x"}),
    "unknown message type 'pong'": malformed(type="pong"),
    "unknown message type b": malformed(type=b"\xff"),
    "n: Field required": malformed(b"{}"),
    "more than 100000": malformed(b'{"n": 1, "note": "' + b"x" * 100_000 + b'"}'),
}


async def test_malformed_messages_of_every_kind_end_as_dead_letters_while_good_ones_flow(bench: Workbench) -> None:
    recorder = Recorder()
    async with bench.consuming(recorder, prefetch=2) as (publisher, consumer):
        # Given good and bad messages in turn, more bad ones than the prefetch,
        for n, (body, properties) in enumerate(MALFORMED.values()):
            await bench.send_raw(publisher, body, properties)
            await bench.send(publisher, ping(n))
        letters = await bench.letters(len(MALFORMED))
        await eventually(lambda: consumer.statistics.acknowledged == 2 * len(MALFORMED))
    # then each good one was handled,
    assert sorted(number(delivery.body) for delivery in recorder.seen) == list(range(len(MALFORMED)))
    # and each bad one is a letter with its reason and its untouched body.
    for reason, (body, properties) in MALFORMED.items():
        sent = (body, properties.message_id, properties.type)
        found = [letter for letter in letters if (letter.body, letter.message_id, letter.type) == sent]
        assert len(found) == 1, reason
        assert reason in found[0].reason
        assert found[0].source == bench.queue


async def test_headers_that_can_be_received_but_not_sent_do_not_keep_a_message(bench: Workbench) -> None:
    # Given numbers that pika can read and can't write, as other clients send them, in good and bad envelopes,
    strange = {"version": 1.5, "occurred-at": "2026-01-01", "attempt": 2.5, "trail": [1.5], "traceparent": 0.5}
    sent = [strange, strange | {"version": 1}, strange | {"version": 1, "attempt": 2**63 - 1, "trail": ["x" * 60_000]}]
    handler = Recorder(always=PermanentError("no"))
    async with bench.consuming(handler, prefetch=1) as (publisher, consumer):
        for headers in sent:
            properties = {"message_id": str(uuid.uuid4()), "type": "ping" if headers["version"] == 1 else "pong"}
            publish = bench.vhost.management.publish
            await asyncio.to_thread(
                publish, bench.vhost.name, "", bench.queue, '{"n": 1}', properties=properties, headers=headers
            )
        # then they end as dead letters like others, and don't stand in the way of what follows.
        await bench.send(publisher, ping())
        await eventually(lambda: consumer.statistics.acknowledged == 4)
    assert len(await bench.letters()) == 4
    await redrive(bench.url, bench.dlq, publisher=None)


async def test_a_letter_that_could_not_be_read_is_not_told_of(bench: Workbench) -> None:
    told: list[str] = []

    async def tell(delivery: Delivery, reason: str) -> None:
        told.append(reason)

    async with bench.consuming(Recorder(always=PermanentError("no")), on_dead_letter=tell) as (publisher, consumer):
        await bench.send_raw(publisher, *MALFORMED["not JSON"])
        await bench.send(publisher, ping())
        await eventually(lambda: consumer.statistics.acknowledged == 2)
    assert told == ["PermanentError: no"]


async def test_telling_of_a_dead_letter_waits_for_what_it_needs(bench: Workbench) -> None:
    told: list[str] = []

    async def tell(delivery: Delivery, reason: str) -> None:
        # Given a database that is away when the letter is already in its queue,
        told.append(reason)
        if len(told) < 3:
            assert consumer.statistics.acknowledged == 0
            raise DependencyDown("no database")

    async with bench.consuming(Recorder(always=PermanentError("no")), on_dead_letter=tell) as (publisher, consumer):
        await bench.send(publisher, ping())
        await eventually(lambda: consumer.statistics.acknowledged == 1)
    # then it is told as soon as the database is back, and there is one letter.
    assert len(told) == 3
    assert len(await bench.letters()) == 1


async def test_telling_that_fails_does_not_stop_the_queue(bench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    async def tell(delivery: Delivery, reason: str) -> None:
        raise ValueError("Ada Lovelace")

    handler = Recorder(always=PermanentError("no"))
    async with bench.consuming(handler, on_dead_letter=tell, prefetch=1) as (publisher, consumer):
        await bench.send(publisher, ping(1), ping(2), ping(3))
        await eventually(lambda: consumer.statistics.acknowledged == 3)
    assert len(await bench.letters()) == 3
    assert "Lovelace" not in "".join(capsys.readouterr())


async def test_x_death_does_not_travel_on(bench: Workbench) -> None:
    # Given a message that has come back from a retry queue, to which the broker adds x-death,
    recorder = Recorder(always=TransientError("no"))
    async with bench.consuming(recorder) as (publisher, _):
        await bench.send(publisher, ping())
        letter = (await bench.letters(1))[0]
    # then nothing of it is in what the consumer published.
    assert set(letter.properties.headers or {}) == {
        *("version", "occurred-at", "attempt", "trail"),
        *("dead-letter-reason", "dead-letter-queue", "dead-letter-at"),
    }


async def test_the_prefetch_bounds_handlers_that_run_at_once(bench: Workbench) -> None:
    running, most = 0, 0

    async def handler(delivery: Delivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    async with bench.publisher() as publisher:
        await bench.send(publisher, *(ping(n) for n in range(60)))
    async with bench.consuming(handler, prefetch=5) as (_, consumer):
        await eventually(lambda: consumer.statistics.acknowledged == 60)
    assert most == 5


async def test_a_missing_retry_queue_is_declared_again_and_the_message_is_not_lost(bench: Workbench) -> None:
    recorder = Recorder(TransientError("once"))
    async with bench.consuming(recorder) as (publisher, consumer):
        retry_queue = f"{bench.queue}.retry.{DELAYS_MS[0]}"
        await asyncio.to_thread(bench.vhost.management.delete_queue, bench.vhost.name, retry_queue)
        await bench.send(publisher, ping())
        await eventually(lambda: consumer.statistics.acknowledged == 2)
    assert recorder.attempts == [1, 2]
    assert await bench.depth(retry_queue) == 0


async def test_a_missing_dead_letter_queue_is_declared_again(bench: Workbench) -> None:
    async with bench.consuming(Recorder(always=PermanentError("no"))) as (publisher, _):
        await asyncio.to_thread(bench.vhost.management.delete_queue, bench.vhost.name, bench.dlq)
        await bench.send_raw(publisher, *MALFORMED["no message_id"])
        await bench.send(publisher, *(ping(n) for n in range(10)))
        assert len(await bench.letters(11)) == 11


async def test_a_handlers_choice_of_verdict_is_per_message(bench: Workbench) -> None:
    errors: dict[int, Callable[[], Exception]] = {
        1: lambda: TransientError("t"),
        2: lambda: PermanentError("p"),
    }

    async def handler(delivery: Delivery) -> None:
        make = errors.get(number(delivery.body) % 4)
        if make is not None and delivery.message.attempt < 4:
            raise make()

    async with bench.consuming(handler) as (publisher, consumer):
        await bench.send(publisher, *(ping(n) for n in range(40)))
        await eventually(lambda: consumer.statistics.acknowledged == 40 + 3 * 10)
    assert consumer.statistics.dead_lettered == 10
    assert consumer.statistics.retried == 30


async def test_a_consumer_takes_nothing_while_it_has_nothing_to_take(bench: Workbench) -> None:
    recorder = Recorder()
    async with bench.consuming(recorder) as (publisher, consumer):
        await stays(lambda: consumer.statistics.delivered == 0, for_s=0.1)
        await bench.send(publisher, replace(ping(), redrives=2))
        await eventually(lambda: consumer.statistics.acknowledged == 1)
    assert recorder.seen[0].message.redrives == 2
