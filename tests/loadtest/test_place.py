"""Runs happen in a virtual host of their own, or leave everything of others as it was."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pika
import pytest

from labs.broker import Management, VirtualHost
from labs.errors import BrokerError
from labs.settings import Settings, load_settings
from loadtest.doing import do
from loadtest.engine.plan import Plan
from loadtest.place import place


@pytest.fixture
def plain_user(vhost: VirtualHost) -> Iterator[Settings]:
    """Settings of somebody who may do everything in one virtual host, and nothing in the management API."""
    name = f"plain-{vhost.name}"
    vhost.management.create_user(name, "secret")
    vhost.management.set_permissions(vhost.name, name)
    address = urlsplit(vhost.amqp_url)
    mine = address._replace(netloc=f"{name}:secret@{address.netloc.rpartition('@')[2]}").geturl()
    management = urlsplit(vhost.broker.management_url)
    theirs = management._replace(netloc=f"{name}:secret@{management.netloc.rpartition('@')[2]}").geturl()
    yield load_settings(amqp_url=mine, management_url=theirs)
    vhost.management.delete_user(name)


def test_a_run_has_a_virtual_host_of_its_own_that_is_gone_afterwards(settings: Settings, vhost: VirtualHost) -> None:
    with place(settings) as where:
        assert where.is_own
        assert where.virtual_host in vhost.management.virtual_hosts()
        assert where.rabbitmq == vhost.broker.version
        assert "***" in where.name
    assert where.virtual_host not in vhost.management.virtual_hosts()


def test_whoever_may_not_make_one_runs_in_the_given_one_and_touches_nothing_of_others(
    plain_user: Settings, vhost: VirtualHost
) -> None:
    # Given a virtual host with somebody's queue in it
    connection = pika.BlockingConnection(pika.URLParameters(vhost.amqp_url))
    channel = connection.channel()
    channel.queue_declare("theirs", durable=True)
    channel.basic_publish("", "theirs", b"theirs")
    # When a run is made there
    with place(plain_user) as where:
        assert not where.is_own
        assert where.management is None
        assert where.virtual_host == vhost.name
        assert where.rabbitmq == vhost.broker.version, "AMQP itself tells it"
        run = do(Plan(rate=200, duration_s=1.5, warmup_s=0.5), where, name="guest")
    # Then it is whole, could not watch the broker, and has left that queue alone.
    assert run.integrity.delivered == 300
    assert run.broker.empty
    assert run.verdict["little"] is None
    connection.close()
    assert [queue.name for queue in vhost.queues()] == ["theirs"]
    assert vhost.depth("theirs").messages == 1


def test_a_broker_that_is_not_there_is_one_of_our_errors() -> None:
    with pytest.raises(BrokerError, match="no RabbitMQ answers"), place(load_settings(amqp_url="amqp://127.0.0.1:1/")):
        pass


def test_its_management_api_may_be_elsewhere_or_down(vhost: VirtualHost) -> None:
    alone = load_settings(amqp_url=vhost.amqp_url, management_url="http://127.0.0.1:1")
    with place(alone) as where:
        assert not where.is_own
        assert where.management is None
    with Management(vhost.broker.management_url) as management:
        assert vhost.name in management.virtual_hosts()
