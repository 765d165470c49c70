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
from labs.settings import Settings
from labs.systems.cover_letters.topology import ANALYTICS_QUEUE, GENERATE_QUEUE, topology
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
    assert (vhost.depth(DLQ).messages, vhost.depth(GENERATE_QUEUE).messages) == (2, 1)
    # By id.
    assert "1 sent back, 1 left" in labs.ok("dlq", "redrive", DLQ, "--id", "m-2", "--yes")
    # An id that isn't there is a failure, for scripts.
    assert labs("dlq", "redrive", DLQ, "--id", "m-2", "--yes").returncode == 1
    # All the rest.
    assert "1 sent back, 0 left" in labs.ok("dlq", "redrive", GENERATE_QUEUE, "--yes")
    assert (vhost.depth(DLQ).messages, vhost.depth(GENERATE_QUEUE).messages) == (0, 3)


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
