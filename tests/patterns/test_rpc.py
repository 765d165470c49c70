"""The call: it ends, in its own answer or in an error, whatever becomes of the server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import UnroutableError
from pika.spec import BasicProperties

from labs.broker import VirtualHost
from labs.patterns.rpc import Caller, serve
from labs.processes import wait_until
from labs.programs import Program, hang, report

QUEUE = "questions"


def upper(*, url: str) -> None:
    """Answer, and report each question."""

    def answer(question: bytes) -> bytes:
        report("asked", question=question.decode())
        return question.upper()

    serve(url, QUEUE, answer)


def stuck(*, url: str) -> None:
    """Take a question, and never answer it."""
    serve(url, QUEUE, lambda question: hang("asked", question=question.decode()))


def confused(*, url: str) -> None:
    """Leave the first question; answer the second after the first and a foreign one, and answer it twice."""
    asked: list[str] = []

    def on_question(channel: BlockingChannel, _: object, properties: BasicProperties, body: bytes) -> None:
        def answer(correlation_id: str, text: bytes) -> None:
            to = BasicProperties(correlation_id=correlation_id)
            channel.basic_publish("", str(properties.reply_to), text, to)

        asked.append(str(properties.correlation_id))
        if len(asked) == 2:
            answer(asked[0], b"FIRST")
            answer("nobody", b"FOREIGN")
            answer(asked[1], body.upper())
        if len(asked) >= 2:
            answer(asked[-1], body.upper())
        report("asked")

    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.basic_consume(QUEUE, on_question, auto_ack=True)
        report("serving")
        channel.start_consuming()


@pytest.fixture(params=[False, True], ids=["direct", "own queue"])
def caller(vhost: VirtualHost, request: pytest.FixtureRequest) -> Iterator[Caller]:
    made = Caller(vhost.amqp_url, own_queue=request.param)
    made.channel.queue_declare(QUEUE, durable=True)
    yield made
    made.connection.close()


def has_servers(vhost: VirtualHost, count: int) -> bool:
    return wait_until(lambda: vhost.depth(QUEUE).consumers == count, timeout_s=60, every_s=0.02)


def test_a_call_gets_its_answer(vhost: VirtualHost, caller: Caller) -> None:
    with Program(upper, url=vhost.amqp_url):
        assert [caller.call(QUEUE, word, timeout_s=60) for word in (b"ann", b"bob")] == [b"ANN", b"BOB"]
        assert caller.strays == 0


def test_an_empty_answer_is_an_answer(vhost: VirtualHost, caller: Caller) -> None:
    with Program(upper, url=vhost.amqp_url):
        assert caller.call(QUEUE, b"", timeout_s=60) == b""


def test_without_a_server_the_time_runs_out_and_the_question_is_gone(vhost: VirtualHost, caller: Caller) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        caller.call(QUEUE, b"hello", timeout_s=0.2)
    assert 0.2 <= time.monotonic() - started < 30
    assert wait_until(lambda: vhost.depth(QUEUE).messages == 0, timeout_s=60)


def test_without_a_queue_the_caller_knows_at_once(caller: Caller) -> None:
    started = time.monotonic()
    with pytest.raises(UnroutableError):
        caller.call("no-such-queue", b"hello", timeout_s=60)
    assert time.monotonic() - started < 45


def test_answers_that_are_late_foreign_or_second_are_dropped(vhost: VirtualHost, caller: Caller) -> None:
    with Program(confused, url=vhost.amqp_url) as server:
        server.wait_for("serving")
        # Given a question whose caller has given up,
        with pytest.raises(TimeoutError):
            caller.call(QUEUE, b"first", timeout_s=1)
        server.wait_for("asked")
        # when the next one is asked,
        # then its answer is its own, though the late one and a foreign one come before it,
        assert caller.call(QUEUE, b"second", timeout_s=60) == b"SECOND"
        # and once only, though it comes twice.
        assert caller.call(QUEUE, b"third", timeout_s=60) == b"THIRD"
        assert caller.strays == 3


def test_the_question_of_a_killed_server_is_answered_by_another(vhost: VirtualHost, caller: Caller) -> None:
    with Program(stuck, url=vhost.amqp_url) as victim, ThreadPoolExecutor(1) as threads:
        assert has_servers(vhost, 1)
        calling = threads.submit(caller.call, QUEUE, b"hello", timeout_s=60)
        victim.wait_for("asked")
        with Program(upper, url=vhost.amqp_url) as heir:
            assert has_servers(vhost, 2)
            victim.kill()
            assert calling.result(timeout=120) == b"HELLO"
            assert [told["question"] for told in heir.wait_for("asked")] == ["hello"]
    assert vhost.depth(QUEUE).messages == 0


def test_a_busy_server_leaves_questions_to_others(vhost: VirtualHost, caller: Caller) -> None:
    with Program(stuck, url=vhost.amqp_url) as busy, ThreadPoolExecutor(1) as threads:
        assert has_servers(vhost, 1)
        waiting = threads.submit(Caller(vhost.amqp_url).call, QUEUE, b"never", timeout_s=120)
        busy.wait_for("asked")
        with Program(upper, url=vhost.amqp_url):
            assert has_servers(vhost, 2)
            assert [caller.call(QUEUE, b"hello", timeout_s=60) for _ in range(5)] == [b"HELLO"] * 5
            assert len(busy.of("asked")) == 1
            busy.kill()  # and even its question is answered now
            assert waiting.result(timeout=120) == b"NEVER"


def test_it_runs_alone_and_leaves_nothing_behind(vhost: VirtualHost) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "labs.patterns.rpc"],
        env={**os.environ, "LAB_AMQP_URL": vhost.amqp_url, "LAB_MANAGEMENT_URL": vhost.broker.management_url},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stdout.splitlines()[-3:] == ["HELLO", "TimeoutError", "UnroutableError"]
    assert vhost.queues() == []
