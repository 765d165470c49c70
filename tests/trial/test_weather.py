"""Each weather befalls what it says, and nothing else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
from pika.exceptions import AMQPError, ChannelClosedByBroker

from labs.broker import VirtualHost
from labs.processes import wait_until
from labs.trial import operations as op
from labs.trial.history import History
from labs.trial.tap import Tap
from labs.trial.tap.storms import AcksHeldBack, BlackHole, Copies, Drip, ForeignAcks, ResetMidPublish, SwallowedConfirms
from tests.trial.test_tap import message, told


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "history.jsonl") as history:
        yield history


@pytest.fixture
def tap(vhost: VirtualHost, history: History) -> Iterator[Tap]:
    with Tap(history, broker_port=urlsplit(vhost.amqp_url).port or 5672) as tap:
        yield tap


@pytest.fixture
def channel(vhost: VirtualHost, tap: Tap) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    """Through the tap, to a broker with a queue `work`; publishes wait for their confirms."""
    address = urlsplit(vhost.amqp_url)
    credentials = address.netloc.rpartition("@")[0]
    url = f"amqp://{credentials}@127.0.0.1:{tap.port}{address.path}"
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare("work", durable=True)
    channel.confirm_delivery()
    yield channel
    with contextlib.suppress(AMQPError):  # the weather may have closed it
        connection.close()


def test_a_reset_leaves_half_a_message_which_is_none(channel, tap: Tap, vhost: VirtualHost, history: History) -> None:
    with tap.under(ResetMidPublish(1)), pytest.raises(AMQPError):
        channel.basic_publish("", "work", b"body", message("one"))
    assert wait_until(
        lambda: told(history, op.PUBLISH)[1:] == [("info", "one", "work", "connection lost")], timeout_s=30
    )
    assert vhost.depth("work").messages == 0


def test_nothing_comes_through_a_black_hole_before_it_is_over(channel, tap: Tap, vhost: VirtualHost) -> None:
    with tap.under(BlackHole()):
        publishing = threading.Thread(target=channel.basic_publish, args=["", "work", b"body", message("one")])
        publishing.start()
        publishing.join(timeout=0.5)
        assert publishing.is_alive()
        assert vhost.depth("work").messages == 0
    publishing.join()
    assert vhost.depth("work").messages == 1


def test_what_drips_arrives_whole(channel, tap: Tap) -> None:
    body = bytes(range(256)) * 8
    with tap.under(Drip(latency_s=0.01, piece=61, pause_s=0.001)):
        channel.basic_publish("", "work", body, message("one"))
        assert channel.basic_get("work", auto_ack=True)[2] == body


def test_a_swallowed_confirm_leaves_a_publisher_waiting_for_what_is_done(
    channel, tap: Tap, vhost: VirtualHost, history: History
) -> None:
    with tap.under(SwallowedConfirms()) as weather:
        publishing = threading.Thread(target=_until_lost, args=[channel])
        publishing.start()
        assert wait_until(lambda: weather.swallowed == 1, timeout_s=30)
        assert vhost.depth("work").messages == 1
        assert [kind for kind, *_ in told(history, op.PUBLISH)] == ["invoke"]
    vhost.management.wait_until_ready()
    assert wait_until(lambda: _close_all(vhost), timeout_s=60)
    publishing.join()


def _until_lost(channel) -> None:
    with pytest.raises(AMQPError):
        channel.basic_publish("", "work", b"body", message("one"))


def _close_all(vhost: VirtualHost) -> bool:
    names = [each.name for each in vhost.management.connections(vhost.name)]
    for name in names:
        vhost.management.close_connection(name)
    return bool(names)


def test_an_ack_that_is_held_back_and_lost_brings_its_message_again(channel, tap: Tap, vhost: VirtualHost) -> None:
    channel.basic_publish("", "work", b"body", message("one"))
    method, _, _ = channel.basic_get("work")
    with tap.under(AcksHeldBack(1, hold_s=0.1)) as weather:
        channel.basic_ack(method.delivery_tag)
        assert wait_until(lambda: weather.broken == 1, timeout_s=30)
    assert wait_until(lambda: vhost.depth("work").messages == 1, timeout_s=30)


def test_the_broker_closes_a_channel_for_an_ack_of_nothing(channel, tap: Tap) -> None:
    other = channel.connection.channel()
    with tap.under(ForeignAcks(1)), pytest.raises(ChannelClosedByBroker, match="unknown delivery tag"):
        channel.basic_publish("", "work", b"body", message("one"))
    assert channel.connection.is_open
    assert other.is_open


def test_copies_are_of_whole_persistent_messages(channel, tap: Tap) -> None:
    body = b"x" * 200_000
    with tap.under(Copies()) as weather:
        channel.basic_publish("", "work", body, message("one"))
        channel.basic_publish("", "work", b"", message("empty"))
        channel.basic_publish("", "work", b"not persistent")
    copies = [weather.seen.get_nowait() for _ in range(weather.seen.qsize())]
    assert [(c.exchange, c.routing_key, c.properties.message_id, c.body) for c in copies] == [
        ("", "work", "one", body),
        ("", "work", "empty", b""),
    ]
