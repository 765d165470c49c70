"""The AsyncAPI document is valid, says what the code does, and can't fall behind it."""

from __future__ import annotations

import copy
import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import httpx
import jsonschema
import pytest
from pydantic import BaseModel, ValidationError

from labs.llm.client import ModelClient
from labs.messaging.message import Message, Payload, Schema
from labs.messaging.topology import Binding, DeadLetters, Exchange, Topology, work_queue
from labs.service.asyncapi import asyncapi_document
from labs.settings import ROOT, Settings, load_settings
from labs.store.database import Database
from labs.store.hints import Ringer
from labs.store.outbox import OutboxMessage
from labs.systems.callback import Callback
from labs.systems.contract import Answered, Sent
from labs.systems.registry import SYSTEMS
from labs.systems.resumes import jobs as resumes
from labs.systems.system import System, WorkerParts
from tests.databases import completion, failure, resume

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # two of its fields have names of pydantic's own
    from asyncapi3 import AsyncAPI3

#: The committed document shows what the lab does if nobody has changed a setting.
DEFAULTS = {name: Settings.model_fields[name].default for name in ("retry_delays_ms", "delivery_limit")}


@pytest.fixture
def document() -> dict[str, Any]:
    return asyncapi_document(SYSTEMS, load_settings(**DEFAULTS))


def resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def assert_valid(document: dict[str, Any]) -> None:
    """It is AsyncAPI 3.0, its schemas are JSON Schema, and every reference leads somewhere."""
    AsyncAPI3.model_validate(document)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
        assert isinstance(resolve(document, reference), dict), reference
    for operation in document["operations"].values():
        channel = resolve(document, operation["channel"]["$ref"])
        of_channel = {f"{operation['channel']['$ref']}/messages/{name}" for name in channel["messages"]}
        assert {message["$ref"] for message in operation["messages"]} <= of_channel


def test_the_committed_document_is_what_the_code_says(document: dict[str, Any]) -> None:
    committed = json.loads((ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8"))
    assert committed == document, "renew it: python -m labs asyncapi > docs/asyncapi.json"


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert_valid(document)


def _operation(document: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = next(iter(document["operations"].values()))
    return operation


BREAKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no action": lambda it: _operation(it).pop("action"),
    "no channel": lambda it: _operation(it).pop("channel"),
    "a channel that isn't there": lambda it: _operation(it).update(channel={"$ref": "#/channels/none"}),
    "a message of another channel": lambda it: _operation(it)["messages"].append(
        {"$ref": "#/components/messages/resumes_failed"}
    ),
    "an unknown field": lambda it: _operation(it).update(nonsense=1),
    "an exchange of no kind": lambda it: resolve(it, _operation(it)["channel"]["$ref"])["bindings"]["amqp"][
        "exchange"
    ].pop("type"),
    "a schema that is none": lambda it: it["components"]["schemas"]["Envelope"].update(type=3),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_document_would_be_seen(document: dict[str, Any], name: str) -> None:
    broken = copy.deepcopy(document)
    BREAKS[name](broken)
    with pytest.raises((ValidationError, KeyError, AssertionError, jsonschema.SchemaError)):
        assert_valid(broken)


def _worker_parts() -> WorkerParts:
    """Of a worker that is never started: nothing is connected."""
    settings = load_settings()
    database = Database("postgresql://nowhere", name="test", pool=2)
    return WorkerParts(
        settings=settings,
        name="test",
        database=database,
        ringer=Ringer(database),
        model=ModelClient(settings),
        callback=Callback(settings),
    )


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
async def test_every_consumer_understands_exactly_what_reaches_its_queue(system: System) -> None:
    topology = system.topology(load_settings())
    for consuming in system.consumers(_worker_parts()):
        reaching = {
            (sent.schema.name, sent.schema.version)
            for sent in system.sends
            if consuming.queue in topology.reached(sent.exchange, sent.key)
        }
        assert {(schema.name, schema.version) for schema in consuming.schemas} == reaching, consuming.queue


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_nothing_is_bound_for_what_nobody_sends(system: System) -> None:
    topology = system.topology(load_settings())
    reached = {queue for sent in system.sends for queue in topology.reached(sent.exchange, sent.key)}
    assert set(system.queues) <= reached


def _sent() -> list[OutboxMessage]:
    ids = {"job_id": "j", "user_id": "00000000-0000-0000-0000-000000000001"}
    return [
        completion("j"),
        failure("j"),
        resume().message,
        resumes.completed(**ids, resume_id="r"),
        resumes.failed(**ids, code="given_up"),
    ]


@pytest.mark.parametrize("sent", _sent(), ids=lambda sent: sent.type)
def test_what_is_really_sent_is_as_the_document_has_it(document: dict[str, Any], sent: OutboxMessage) -> None:
    [message] = [each for each in document["components"]["messages"].values() if each.get("name") == sent.type]
    [operation] = [
        each
        for each in document["operations"].values()
        if each["action"] == "send" and each["messages"][0]["$ref"].endswith(sent.type.replace(".", "_"))
    ]
    channel = resolve(document, operation["channel"]["$ref"])
    exchange = channel["bindings"]["amqp"]["exchange"]["name"]
    assert (channel["address"], exchange) == (sent.routing_key, sent.exchange)
    # Both the body and, once it has failed and was sent back, the headers.
    travelled = Message(type=sent.type, version=sent.version, body=b"", traceparent="00-1-1-01").next_attempt("x")
    for instance, schema in (
        (json.loads(sent.body), message["payload"]),
        (travelled.redriven().headers(), message["headers"]),
    ):
        jsonschema.Draft202012Validator({**document, **schema}).validate(instance)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator({**document, **schema}).validate({})


def test_the_envelope_names_every_header_and_no_other(document: dict[str, Any]) -> None:
    message = Message(type="t", version=1, body=b"", traceparent="00-1-1-01").failed("x").redriven()
    envelope = document["components"]["schemas"]["Envelope"]
    assert set(envelope["properties"]) == set(message.headers())
    assert set(envelope["required"]) == set(Message(type="t", version=1, body=b"").headers())


class Moved(Payload):
    """Something has moved."""

    where: str


class Question(BaseModel):
    """To whoever knows: where is it?"""

    what: str


def _unlike_the_others(settings: Settings) -> Topology:
    dead_letters = DeadLetters(exchange="all.dlx", queue="all.dlq")
    whole = Topology(
        exchanges=(Exchange("all", "fanout"), Exchange("rooms", "topic")),
        bindings=(Binding("all", "first"), Binding("all", "second")),
    )
    for name in ("first", "second"):
        whole += work_queue(name, delays_ms=settings.retry_delays_ms, dead_letters=dead_letters)
    return whole


def test_fanouts_keys_with_parts_and_calls_have_their_place() -> None:
    system = System(
        name="toy",
        topology=_unlike_the_others,
        queues=("first", "second"),
        consumers=lambda parts: [],
        routes=lambda parts: [],
        sends=(
            Sent(schema=Schema("moved", 2, Moved), exchange="all"),
            Sent(schema=Schema("moved.in", 1, Moved), exchange="rooms", key="room.{room_id}.moved"),
        ),
        answers=(Answered(queue="where.is", request=Question, reply=Moved),),
    )
    document = asyncapi_document([system], load_settings(**DEFAULTS))
    assert_valid(document)
    operations, channels = document["operations"], document["channels"]
    assert set(operations) == {"send_moved_v2", "send_moved_in", "receive_first", "receive_second", "answer_where_is"}
    assert channels["all"]["bindings"]["amqp"]["exchange"]["type"] == "fanout"
    assert list(channels["queue_second"]["messages"]) == ["moved_v2"]
    assert channels["queue_second"]["x-dead-letter-queue"] == "all.dlq"
    [room] = [each for each in channels.values() if each["address"] == "room.{room_id}.moved"]
    assert room["parameters"] == {"room_id": {}}
    reply = operations["answer_where_is"]["reply"]
    assert reply["channel"] == {"$ref": "#/channels/replies"}
    assert channels["replies"]["address"] is None


def test_the_api_serves_it(client: httpx.Client, document: dict[str, Any]) -> None:
    served = client.get("/asyncapi.json")
    assert served.headers["content-type"] == "application/json"
    assert_valid(served.json())
    assert served.json()["operations"] == document["operations"]
