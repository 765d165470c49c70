"""dlq: looks without touching, and sends back what is asked for, only when told to."""

from __future__ import annotations

import json

import pytest
from pika.spec import BasicProperties

from labs.broker import VirtualHost
from labs.messaging.dead_letters import dead_letter
from labs.messaging.message import PERSISTENT
from labs.messaging.publisher import Publisher
from labs.messaging.topology import declare
from labs.processes import wait_until
from labs.settings import Settings
from labs.systems.cover_letters.topology import ANALYTICS_QUEUE, GENERATE_QUEUE, topology
from labs.systems.documents import topology as documents
from tests.commands.conftest import CommandLine, assert_failed

DLQ = f"{GENERATE_QUEUE}.dlq"


@pytest.fixture
async def letters(vhost: VirtualHost, settings: Settings) -> None:
    """Two letters of one reason and one of another."""
    async with Publisher(
        vhost.amqp_url, name="test", prepare=lambda channel: declare(channel, topology(settings))
    ) as publisher:
        for message_id, reason in (
            ("m-1", "ModelFailed: 500"),
            ("m-2", "MessageError: not JSON"),
            ("m-3", "ModelFailed: 429"),
        ):
            properties = BasicProperties(message_id=message_id, type="test", delivery_mode=PERSISTENT)
            await dead_letter(
                publisher, properties, b"body of " + message_id.encode(), queue=GENERATE_QUEUE, reason=reason
            )


@pytest.mark.usefixtures("letters")
def test_dead_letters_are_listed_and_stay(labs: CommandLine, vhost: VirtualHost) -> None:
    for arguments in ([], [GENERATE_QUEUE], [DLQ]):
        listed = json.loads(labs.ok("dlq", "list", *arguments, "--json"))
        assert [(letter["messageId"], letter["queue"], letter["source"]) for letter in listed] == [
            (message_id, DLQ, GENERATE_QUEUE) for message_id in ("m-1", "m-2", "m-3")
        ]
    assert json.loads(labs.ok("dlq", "list", ANALYTICS_QUEUE, "--json")) == []
    assert len(json.loads(labs.ok("dlq", "list", "--limit", "2", "--json"))) == 2
    assert "ModelFailed" in labs.ok("dlq", "list")
    assert vhost.depth(DLQ).messages == 3


@pytest.mark.usefixtures("letters")
def test_one_dead_letter_is_shown_with_its_body(labs: CommandLine) -> None:
    shown = json.loads(labs.ok("dlq", "show", GENERATE_QUEUE, "m-2", "--json"))
    assert (shown["messageId"], shown["reason"], shown["body"]) == ("m-2", "MessageError: not JSON", "body of m-2")
    assert "body: body of m-2" in labs.ok("dlq", "show", DLQ, "m-2").splitlines()
    assert_failed(labs("dlq", "show", GENERATE_QUEUE, "m-9"), 1, "m-9", "dlq list")


def holds(vhost: VirtualHost, messages: dict[str, int]) -> bool:
    return wait_until(lambda: {name: vhost.depth(name).messages for name in messages} == messages, timeout_s=60)


@pytest.mark.usefixtures("letters")
def test_a_redrive_shows_first_and_acts_when_told_to(labs: CommandLine, vhost: VirtualHost) -> None:
    # Without --yes nothing moves.
    assert "2 would be sent back" in labs.ok("dlq", "redrive", GENERATE_QUEUE, "--reason", "ModelFailed")
    assert "--yes" in labs.ok("dlq", "redrive", GENERATE_QUEUE)
    assert vhost.depth(DLQ).messages == 3
    # By reason, bounded: one of the two that match.
    assert "1 sent back, 2 left" in labs.ok(
        "dlq", "redrive", GENERATE_QUEUE, "--reason", "ModelFailed", "--limit", "1", "--yes"
    )
    assert holds(vhost, {DLQ: 2, GENERATE_QUEUE: 1})
    # By id.
    assert "1 sent back, 1 left" in labs.ok("dlq", "redrive", DLQ, "--id", "m-2", "--yes")
    # An id that isn't there is a failure, for scripts.
    assert labs("dlq", "redrive", DLQ, "--id", "m-2", "--yes").returncode == 1
    # All the rest.
    assert "1 sent back, 0 left" in labs.ok("dlq", "redrive", GENERATE_QUEUE, "--yes")
    assert holds(vhost, {DLQ: 0, GENERATE_QUEUE: 3})


def test_without_any_queue_there_are_no_dead_letters(labs: CommandLine) -> None:
    assert labs.ok("dlq", "list").strip() == "no dead letters"
    assert json.loads(labs.ok("dlq", "list", "--json")) == []


@pytest.mark.parametrize("arguments", [("list",), ("show", "m-1"), ("redrive",), ("redrive", "--yes")])
def test_an_unknown_queue_is_one_clear_line(labs: CommandLine, arguments: tuple[str, ...]) -> None:
    command, *rest = arguments
    assert_failed(labs("dlq", command, "no.such.queue", *rest), 1, "no.such.queue.dlq")


def test_without_a_broker_it_says_how_to_get_one(nowhere: CommandLine) -> None:
    assert_failed(nowhere("dlq", "list"), 1, "no broker", "python -m labs up")


def test_with_a_broker_that_is_down_it_says_so(nowhere: CommandLine) -> None:
    assert_failed(nowhere("dlq", "list", LAB_AMQP_URL="amqp://guest:secret-marker@127.0.0.1:1/"), 1, "127.0.0.1:1")
    assert "secret-marker" not in nowhere("dlq", "list", LAB_AMQP_URL="amqp://guest:secret-marker@127.0.0.1:1/").stderr


@pytest.fixture
async def events(vhost: VirtualHost, settings: Settings) -> None:
    """One event that failed in two queues, which share their dead-letter queue."""
    whole = documents.topology(settings)
    async with Publisher(vhost.amqp_url, name="test", prepare=lambda channel: declare(channel, whole)) as publisher:
        for queue in (documents.SEARCH_QUEUE, documents.ANALYTICS_QUEUE):
            properties = BasicProperties(message_id="m-1", type="test", delivery_mode=PERSISTENT)
            await dead_letter(
                publisher, properties, b"{}", queue=queue, reason="no", route=whole.dead_letter_route(queue)
            )


@pytest.mark.usefixtures("events")
def test_of_a_shared_dead_letter_queue_a_work_queue_s_own_letters_are_meant(
    labs: CommandLine, vhost: VirtualHost
) -> None:
    def sources(*arguments: str) -> list[str]:
        return [letter["source"] for letter in json.loads(labs.ok("dlq", "list", *arguments, "--json"))]

    shared = documents.DEAD_LETTERS.queue
    assert sources() == sources(shared) == [documents.SEARCH_QUEUE, documents.ANALYTICS_QUEUE]
    assert sources(documents.ANALYTICS_QUEUE) == [documents.ANALYTICS_QUEUE]
    assert sources(documents.NOTIFICATIONS_QUEUE) == []
    assert documents.SEARCH_QUEUE in labs.ok("dlq", "list")
    shown = json.loads(labs.ok("dlq", "show", documents.ANALYTICS_QUEUE, "m-1", "--json"))
    assert shown["source"] == documents.ANALYTICS_QUEUE
    # Sent back is what was asked for, to where it failed and nowhere else.
    sent = labs.ok("dlq", "redrive", documents.ANALYTICS_QUEUE, "--yes")
    assert f"1 sent back, 1 left in {shared}" in sent
    assert {queue: vhost.depth(queue).messages for queue in (*documents.QUEUES, shared)} == {
        documents.NOTIFICATIONS_QUEUE: 0,
        documents.SEARCH_QUEUE: 0,
        documents.ANALYTICS_QUEUE: 1,
        shared: 1,
    }
