"""The management API, asked of a real broker: typed answers, and our own errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import Broker, Depth, Management, VirtualHost, depths
from labs.errors import BrokerRefused, BrokerUnavailable, ManagementError
from labs.processes import wait_until

QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 5}


@pytest.fixture
def channel(vhost: VirtualHost) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    parameters = pika.URLParameters(vhost.amqp_url)
    parameters.client_properties = {"connection_name": "the test's"}
    connection = pika.BlockingConnection(parameters)
    yield connection.channel()
    if connection.is_open:
        connection.close()


def test_the_overview_names_the_broker(broker: Broker, vhost: VirtualHost) -> None:
    overview = vhost.management.wait_until_ready(timeout_s=60)
    assert overview.version == broker.version
    assert int(overview.erlang_version.split(".")[0]) >= 24
    assert "@" in overview.node
    assert {"amqp", "http"} <= {listener.protocol for listener in overview.listeners}


def test_queues_exchanges_and_bindings_come_back_as_they_were_declared(vhost: VirtualHost, channel) -> None:  # type: ignore[no-untyped-def]
    channel.exchange_declare("events", "topic", durable=True)
    channel.queue_declare("work", durable=True, arguments=QUORUM)
    channel.queue_bind("work", "events", "user.*")

    (queue,) = vhost.queues()
    assert (queue.name, queue.type, queue.durable, queue.arguments) == ("work", "quorum", True, QUORUM)
    (exchange,) = vhost.exchanges()
    assert (exchange.name, exchange.type, exchange.durable) == ("events", "topic", True)
    (binding,) = vhost.bindings()
    assert (binding.source, binding.routing_key, binding.destination) == ("events", "user.*", "work")
    # The convenience leaves out what every virtual host has; the API itself doesn't.
    assert "amq.topic" in {exchange.name for exchange in vhost.management.exchanges(vhost.name)}
    assert len(vhost.management.bindings(vhost.name)) == 2


def test_a_published_message_can_be_looked_at_and_taken(vhost: VirtualHost, channel) -> None:  # type: ignore[no-untyped-def]
    channel.queue_declare("work", durable=True)
    routed = vhost.management.publish(
        vhost.name, "", "work", "héllo", properties={"message_id": "7"}, headers={"attempt": 2}
    )
    assert routed
    (seen,) = vhost.management.get(vhost.name, "work", requeue=True)
    (taken,) = vhost.management.get(vhost.name, "work")
    assert (taken.payload, taken.properties["message_id"], taken.headers["attempt"]) == ("héllo", "7", 2)
    assert (seen.redelivered, taken.redelivered) == (False, True)
    assert vhost.management.get(vhost.name, "work") == []


def test_publishing_to_no_queue_says_so(vhost: VirtualHost) -> None:
    assert not vhost.management.publish(vhost.name, "amq.topic", "nobody", "listens")


def test_depth_is_exact_at_once_and_the_figures_follow_within_seconds(vhost: VirtualHost, channel) -> None:  # type: ignore[no-untyped-def]
    channel.queue_declare("work", durable=True, arguments=QUORUM)
    channel.confirm_delivery()
    for _ in range(3):
        channel.basic_publish("", "work", b"x")
    assert vhost.depth("work").messages == 3
    assert wait_until(lambda: vhost.management.queue(vhost.name, "work").messages_ready == 3, timeout_s=60)
    vhost.management.purge_queue(vhost.name, "work")
    assert vhost.depth("work").messages == 0
    vhost.management.delete_queue(vhost.name, "work")
    vhost.management.delete_queue(vhost.name, "work")  # once more does no harm
    with pytest.raises(BrokerRefused, match="no queue"):
        vhost.depth("work")


@pytest.mark.parametrize("queue_is", ["slow to answer", "empty indeed"])
def test_a_queue_that_is_told_as_empty_is_asked_again(
    vhost: VirtualHost, channel, monkeypatch: pytest.MonkeyPatch, queue_is: str
) -> None:  # type: ignore[no-untyped-def]
    module = sys.modules[depths.__module__]
    true, asked = module._depth, []

    def told(channel: BlockingChannel, queue: str) -> Depth:
        asked.append(queue)
        return Depth(0, 0) if queue == "work" and len(asked) < 3 else true(channel, queue)

    for name in ("work", "other"):
        channel.queue_declare(name, durable=True)
        if queue_is == "slow to answer":
            channel.basic_publish("", name, b"x")
    monkeypatch.setattr(module, "_depth", told)
    count = 1 if queue_is == "slow to answer" else 0
    assert vhost.depth("work") == Depth(count, 0)
    assert asked == ["work"] * 3
    asked.clear()
    names = ["work", "missing", "other"]
    assert depths(vhost.amqp_url, names) == {"work": Depth(count, 0), "other": Depth(count, 0)}
    assert asked[:4] == [*names, "work"]


def test_consumers_channels_and_connections_are_seen_and_a_connection_can_be_closed(
    vhost: VirtualHost, channel
) -> None:  # type: ignore[no-untyped-def]
    management = vhost.management
    channel.queue_declare("work", durable=True)
    channel.basic_qos(prefetch_count=7)
    channel.basic_consume("work", lambda *_: None, consumer_tag="reader")
    assert vhost.depth("work").consumers == 1
    assert wait_until(lambda: len(management.consumers(vhost.name)) == 1, timeout_s=60)
    (consumer,) = management.consumers(vhost.name)
    assert (consumer.consumer_tag, consumer.queue.name, consumer.prefetch_count) == ("reader", "work", 7)

    def named() -> bool:
        return [connection.title for connection in management.connections(vhost.name)] == ["the test's"]

    assert wait_until(named, timeout_s=60)
    assert wait_until(lambda: vhost.name in {channel.vhost for channel in management.channels()}, timeout_s=60)
    (connection,) = management.connections(vhost.name)
    management.close_connection(connection.name, reason="drill")
    management.close_connection(connection.name)  # once more does no harm
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="drill"):
        channel.connection.process_data_events(time_limit=60)


def test_users_and_their_permissions(vhost: VirtualHost) -> None:
    management = vhost.management
    management.create_user(vhost.name, "secret")
    address = urlsplit(vhost.amqp_url)
    url = address._replace(netloc=f"{vhost.name}:secret@{address.hostname}:{address.port}").geturl()
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError):
        pika.BlockingConnection(pika.URLParameters(url))
    management.set_permissions(vhost.name, vhost.name, configure="^$", write="^mine$", read="^$")
    connection = pika.BlockingConnection(pika.URLParameters(url))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
        connection.channel().queue_declare("work", durable=True)
    connection.close()
    management.delete_user(vhost.name)
    management.delete_user(vhost.name)  # once more does no harm


def test_a_policy_makes_a_queue_refuse_until_it_is_deleted(vhost: VirtualHost, channel) -> None:  # type: ignore[no-untyped-def]
    channel.queue_declare("work", durable=True, arguments={**QUORUM, "x-overflow": "reject-publish"})
    vhost.management.set_policy(vhost.name, "full", pattern="^work$", definition={"max-length": 1})

    def refused() -> bool:
        # On a new channel: one that was refused is not told that the limit is gone (labs.messaging.refusals)
        on = channel.connection.channel()
        on.confirm_delivery()
        try:
            on.basic_publish("", "work", b"x")
        except pika.exceptions.NackError:
            return True
        finally:
            on.close()
        return False

    assert wait_until(refused, timeout_s=60)
    vhost.management.delete_policy(vhost.name, "full")
    vhost.management.delete_policy(vhost.name, "full")  # once more does no harm
    assert wait_until(lambda: not refused(), timeout_s=60)


def test_names_with_any_character_reach_the_broker(vhost: VirtualHost, channel) -> None:  # type: ignore[no-untyped-def]
    name = "a/b c%2F?ü#"
    channel.queue_declare(name, durable=True)
    assert vhost.management.queue(vhost.name, name).name == name
    assert vhost.depth(name).messages == 0


def test_what_is_missing_is_a_404(vhost: VirtualHost) -> None:
    with pytest.raises(ManagementError) as caught:
        vhost.management.queue(vhost.name, "nothing")
    assert caught.value.status == 404


def test_wrong_credentials_are_refused_and_never_shown(broker: Broker) -> None:
    url = broker.management_url.replace(f":{urlsplit(broker.management_url).password}@", ":hunter2@")
    with Management(url) as management, pytest.raises(BrokerRefused) as caught:
        management.overview()
    assert "hunter2" not in str(caught.value)


def test_nobody_there_is_unavailable() -> None:
    with Management("http://careerops:hunter2@127.0.0.1:9") as management, pytest.raises(BrokerUnavailable) as caught:
        management.overview()
    assert "127.0.0.1:9" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_nodes_say_what_they_use(broker: Broker, vhost: VirtualHost) -> None:
    # A node that was started just now hasn't counted yet.
    assert wait_until(lambda: vhost.management.nodes()[0].os_pid is not None, timeout_s=60)
    [node] = vhost.management.nodes()
    assert node.name == vhost.management.overview().node
    assert node.running
    assert 10**7 < node.mem_used < node.mem_limit
    assert node.proc_used > 100
    assert not node.mem_alarm
