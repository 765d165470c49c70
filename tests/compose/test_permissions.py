"""Each service's broker user may do what its service does, and nothing else."""

from __future__ import annotations

import contextlib
import functools
import json
import operator
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError

from labs.messaging.client import event_queue
from labs.messaging.rpc.wire import request_queue
from labs.messaging.topology import Topology
from labs.settings import Settings
from labs.systems.cover_letters.topology import (
    ANALYTICS_QUEUE,
    COMPLETED_KEY,
    EMAIL_QUEUE,
    EXCHANGE,
    GENERATE_KEY,
    GENERATE_QUEUE,
)
from labs.systems.documents import topology as documents
from labs.systems.peers import topology as peers
from labs.systems.registry import SYSTEMS, topology
from labs.systems.resumes import topology as resumes
from tests.compose.project import Project

#: As the stack has it, whatever this checkout's own `.env` says.
SETTINGS = Settings.model_construct()
TOPOLOGY = topology(SETTINGS)
#: Of the systems that workers work for.
WORK = functools.reduce(operator.add, (system.topology(SETTINGS) for system in SYSTEMS if not system.services))
QUEUES = (GENERATE_QUEUE, EMAIL_QUEUE, ANALYTICS_QUEUE)
SERVICES = ("api", "relay", "worker", "peers-user", "peers-matching", "peers-collaboration")
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)

Operation = Callable[[BlockingChannel], object]


class Broker:
    """The stack's RabbitMQ, seen from this machine; each user's password is its name."""

    def __init__(self, project: Project) -> None:
        self.amqp = project.address("rabbitmq", 5672)
        self.management = project.address("rabbitmq", 15672)

    @contextlib.contextmanager
    def channel(self, user: str, *, password: str | None = None, vhost: str = "/") -> Iterator[BlockingChannel]:
        host, port = self.amqp
        parameters = pika.ConnectionParameters(host, port, vhost, pika.PlainCredentials(user, password or user))
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel

    def get(self, path: str, *, user: str) -> Any:
        host, port = self.management
        request = urllib.request.Request(f"http://{host}:{port}/api/{path}")
        request.add_header("Authorization", "Basic " + b64encode(f"{user}:{user}".encode()).decode())
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@pytest.fixture(scope="module")
def broker(project: Project) -> Broker:
    """A broker as the stack starts it, with a queue and an exchange that are none of the services' business."""
    project.up("rabbitmq")
    broker = Broker(project)
    with broker.channel("careerops") as channel:
        channel.queue_declare("somebody.else", durable=True)
        channel.exchange_declare("somebody.else", "topic", durable=True)
    return broker


def declare(channel: BlockingChannel, topology: Topology) -> None:
    for exchange in topology.exchanges:
        channel.exchange_declare(exchange.name, exchange.kind, durable=True)
    for queue in topology.queues:
        channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    for binding in topology.bindings:
        channel.queue_bind(binding.queue, binding.exchange, binding.key)


def forget(channel: BlockingChannel, topology: Topology) -> None:
    for queue in topology.queues:
        channel.queue_delete(queue.name)
    for exchange in topology.exchanges:
        channel.exchange_delete(exchange.name)


@pytest.fixture
def declared(broker: Broker) -> None:
    """The topology is there, and empty."""
    with broker.channel("careerops") as channel:
        declare(channel, TOPOLOGY)
        for queue in TOPOLOGY.queues:
            channel.queue_purge(queue.name)


@pytest.mark.parametrize(
    ("user", "own"),
    [
        ("relay", TOPOLOGY),
        ("worker", WORK),
        ("peers-user", request_queue(peers.USER_CREATE) + request_queue(peers.PROFILE_GET)),
        (
            "peers-matching",
            event_queue(
                peers.MATCHING_QUEUE, exchange=peers.USER_EVENTS, routing_key=peers.USER_CREATED_KEY, settings=SETTINGS
            )
            + request_queue(peers.MATCH_FIND),
        ),
        ("peers-collaboration", peers.participant("s1", 1, "1") + request_queue(peers.SESSION_UPDATE)),
    ],
)
def test_each_service_can_make_its_topology_from_nothing_and_again(broker: Broker, user: str, own: Topology) -> None:
    # Given a broker that knows none of it
    with broker.channel("careerops") as channel:
        forget(channel, own)
    # When the service declares it twice, as after a reconnect
    with broker.channel(user) as channel:
        declare(channel, own)
        declare(channel, own)
    # Then all of it is there
    with broker.channel("careerops") as channel:
        for queue in own.queues:
            channel.queue_declare(queue.name, passive=True)


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize(
    ("exchange", "key", "queue"),
    [
        (EXCHANGE, GENERATE_KEY, GENERATE_QUEUE),
        (EXCHANGE, COMPLETED_KEY, EMAIL_QUEUE),
        (EXCHANGE, COMPLETED_KEY, ANALYTICS_QUEUE),
        (resumes.EXCHANGE, resumes.GENERATE_KEY, resumes.GENERATE_QUEUE),
        (resumes.EXCHANGE, resumes.COMPLETED_KEY, resumes.WEBHOOK_QUEUE),
        *((documents.EXCHANGE, "", queue) for queue in documents.QUEUES),
    ],
)
def test_what_the_relay_publishes_the_worker_gets_retries_and_buries(
    broker: Broker, exchange: str, key: str, queue: str
) -> None:
    # Given a message that the relay has published, routed and confirmed
    with broker.channel("relay") as channel:
        channel.basic_publish(exchange, key, b"hello", PERSISTENT, mandatory=True)
    with broker.channel("worker") as channel:
        # When the worker takes it, puts it off and gives it up
        method, _, body = next(iter(channel.consume(queue, inactivity_timeout=10)))
        assert body == b"hello"
        channel.basic_publish("", f"{queue}.retry.1000", body, PERSISTENT, mandatory=True)
        route = TOPOLOGY.dead_letter_route(queue)
        channel.basic_publish(route.exchange, route.key, body, PERSISTENT, mandatory=True)
        assert method is not None
        channel.basic_ack(method.delivery_tag)
        # Then it comes back after its delay
        method, _, body = next(iter(channel.consume(queue, inactivity_timeout=10)))
        assert method is not None
        assert body == b"hello"
        # And a rejected one is dead-lettered by the broker
        channel.basic_reject(method.delivery_tag, requeue=False)
    with broker.channel("lab") as channel:
        for _ in range(2):
            letters = channel.consume(TOPOLOGY.dead_letter_queue(queue), inactivity_timeout=10)
            assert next(iter(letters))[2] == b"hello"


def publish(exchange: str, key: str) -> Operation:
    return lambda channel: channel.basic_publish(exchange, key, b"x", PERSISTENT)


def consume(queue: str) -> Operation:
    return lambda channel: channel.basic_consume(queue, lambda *_: None)


REFUSED: dict[str, tuple[str, Operation]] = {
    "the api publishes to the exchange": ("api", publish(EXCHANGE, QUEUES[0])),
    "the api consumes": ("api", consume(QUEUES[0])),
    "the api gets": ("api", lambda channel: channel.basic_get(QUEUES[0])),
    "the api declares a queue": ("api", lambda channel: channel.queue_declare("api.own")),
    "the api declares a private queue": ("api", lambda channel: channel.queue_declare("", exclusive=True)),
    "the api declares an exchange": ("api", lambda channel: channel.exchange_declare(EXCHANGE, "topic", durable=True)),
    "the api binds": ("api", lambda channel: channel.queue_bind(QUEUES[0], EXCHANGE, "#")),
    "the api deletes": ("api", lambda channel: channel.queue_delete(QUEUES[0])),
    "the api reads users' events": ("api", consume(peers.MATCHING_QUEUE)),
    "the relay publishes changes of code": ("relay", publish(peers.COLLABORATION_EVENTS, peers.update_key("s1"))),
    "the worker reads users' events": ("worker", consume(peers.MATCHING_QUEUE)),
    "the user service reads its own events": ("peers-user", consume(peers.MATCHING_QUEUE)),
    "the user service publishes past the relay": ("peers-user", publish(peers.USER_EVENTS, peers.USER_CREATED_KEY)),
    "the user service answers another's calls": ("peers-user", lambda channel: channel.queue_declare(peers.MATCH_FIND)),
    "the matching service creates users": ("peers-matching", publish(peers.USER_EVENTS, peers.USER_CREATED_KEY)),
    "the matching service reads dead letters": ("peers-matching", consume(f"{peers.MATCHING_QUEUE}.dlq")),
    "the matching service changes code": (
        "peers-matching",
        publish(peers.COLLABORATION_EVENTS, peers.update_key("s1")),
    ),
    "the collaboration service reads what participants get": (
        "peers-collaboration",
        consume(peers.participant_queue("s1", 1, "1")),
    ),
    "the collaboration service creates users": (
        "peers-collaboration",
        publish(peers.USER_EVENTS, peers.USER_CREATED_KEY),
    ),
    "the relay reads dead letters": ("relay", consume(f"{QUEUES[0]}.dlq")),
    "the relay purges dead letters": ("relay", lambda channel: channel.queue_purge(f"{QUEUES[0]}.dlq")),
    "the relay publishes elsewhere": ("relay", publish("amq.topic", "x")),
    "the relay consumes elsewhere": ("relay", consume("somebody.else")),
    "the relay deletes elsewhere": ("relay", lambda channel: channel.queue_delete("somebody.else")),
    "the worker reads dead letters": ("worker", lambda channel: channel.basic_get(f"{QUEUES[0]}.dlq")),
    "the worker publishes what only the relay may": ("worker", publish(EXCHANGE, COMPLETED_KEY)),
    "the worker publishes an event of documents": ("worker", publish(documents.EXCHANGE, "")),
    "the worker reads the documents' dead letters": ("worker", consume(documents.DEAD_LETTERS.queue)),
    "the api publishes an event of documents": ("api", publish(documents.EXCHANGE, "")),
    "the worker publishes elsewhere": ("worker", publish("somebody.else", "x")),
    "the worker consumes elsewhere": ("worker", consume("somebody.else")),
    "the worker deletes elsewhere": ("worker", lambda channel: channel.queue_delete("somebody.else")),
    "the worker deletes another exchange": ("worker", lambda channel: channel.exchange_delete("somebody.else")),
    "the worker binds elsewhere": ("worker", lambda channel: channel.queue_bind(QUEUES[0], "somebody.else", "#")),
    "the worker declares a name of its own": ("worker", lambda channel: channel.queue_declare("worker.own")),
    "the worker declares a private queue": ("worker", lambda channel: channel.queue_declare("", exclusive=True)),
    "a name that only begins like ours": ("worker", lambda channel: channel.queue_declare(f"{QUEUES[0]}.more")),
    "a name with another letter for its dot": (
        "worker",
        lambda channel: channel.queue_declare(QUEUES[0].replace(".", "-")),
    ),
}


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused(broker: Broker, case: str) -> None:
    user, operation = REFUSED[case]
    with broker.channel(user) as channel, pytest.raises(ChannelClosedByBroker) as refusal:
        operation(channel)
    assert refusal.value.reply_code == 403, refusal.value
    assert f"user '{user}'" in refusal.value.reply_text


@pytest.mark.parametrize("user", SERVICES)
def test_a_service_sees_no_other_virtual_host_and_no_management(broker: Broker, user: str) -> None:
    with pytest.raises(ProbableAccessDeniedError), broker.channel(user, vhost="elsewhere"):
        pass
    with pytest.raises(urllib.error.HTTPError) as refusal:
        broker.get("queues", user=user)
    assert refusal.value.code == 401


@pytest.mark.parametrize(("user", "password"), [("guest", "guest"), ("worker", "wrong"), ("careerops", "wrong")])
def test_nobody_else_gets_in(broker: Broker, user: str, password: str) -> None:
    with pytest.raises(ProbableAuthenticationError), broker.channel(user, password=password):
        pass


@pytest.mark.parametrize("person", ["careerops", "lab"])
def test_the_people_of_the_lab_administer_the_broker(broker: Broker, person: str) -> None:
    assert broker.get("whoami", user=person)["tags"] == ["administrator"]
    with broker.channel(person) as channel:
        channel.queue_declare("", exclusive=True)
