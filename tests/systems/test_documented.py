"""What the design documents name is there under that name: statuses, messages, exchanges, queues, tables, services."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from labs.broker import VirtualHost
from labs.messaging.message import now
from labs.messaging.publisher import Publisher
from labs.messaging.topology import declare
from labs.settings import ROOT, load_settings
from labs.store.database import Database
from labs.store.jobs import JobStatus
from labs.systems.cover_letters import jobs as cover_letters
from labs.systems.cover_letters.messages import COMMANDS, GenerateCoverLetter, Tone
from labs.systems.documents.messages import CREATED as DOCUMENT_CREATED
from labs.systems.documents.messages import DocumentCreated, DocumentData
from labs.systems.documents.topology import QUEUES as EVENT_QUEUES
from labs.systems.registry import topology
from tests.databases import TRACEPARENT, letter, resume, rows


def test_every_documented_status_is_one() -> None:
    assert {status.value for status in JobStatus} == {"pending", "processing", "completed", "failed", "cancelled"}


def test_the_command_of_a_letter_has_the_documented_fields() -> None:
    body = json.loads(cover_letters.command(letter(), traceparent=TRACEPARENT).body)
    assert set(body) == {"jobId", "userId", "jobDescription", "cvText", "tone", "createdAt"}
    assert isinstance(body["userId"], int)
    # What the documented type leaves open is taken as it says: without a tone, and with a count of retries.
    del body["tone"]
    [schema] = COMMANDS
    read = schema.model.model_validate({**body, "retryCount": 2})
    assert isinstance(read, GenerateCoverLetter)
    assert (read.tone, read.retryCount) == (Tone.PROFESSIONAL, 2)
    assert {tone.value for tone in Tone} == {"professional", "friendly", "concise"}


def test_the_command_of_a_resume_has_the_documented_fields() -> None:
    body = json.loads(resume().message.body)
    assert set(body) == {"jobId", "userId", "jobDescription", "metadata"}
    assert isinstance(body["metadata"], dict)


def test_the_event_of_a_document_has_the_documented_fields() -> None:
    data = DocumentData(documentId="doc123", title="API Guide", createdBy="user123", tags=("api", "guide"))
    body = json.loads(DOCUMENT_CREATED.message(DocumentCreated(timestamp=now(), data=data)).body)
    assert set(body) == {"type", "timestamp", "data"}
    assert body["type"] == "document.created"
    assert body["data"] == {
        "documentId": "doc123",
        "title": "API Guide",
        "createdBy": "user123",
        "tags": ["api", "guide"],
    }


EXCHANGES = {
    "woragis.tasks": "direct",
    "bookspace.events": "fanout",
    "bookspace.events.dlx": "fanout",
    "user.events": "topic",
    "collaboration.events": "topic",
}
QUEUES = (
    "cover-letter.generate",
    "notifications.email",
    "analytics.process",
    "resumes.queue",
    "bookspace.notifications",
    "bookspace.events.dlq",
    "matching.user_events",
)


async def test_the_broker_has_the_documented_exchanges_queues_and_keys(vhost: VirtualHost) -> None:
    whole = topology(load_settings())
    async with Publisher(vhost.amqp_url, name="test", prepare=lambda channel: declare(channel, whole)) as publisher:
        await publisher.wait_connected(timeout_s=30)
    exchanges = {exchange.name: exchange for exchange in vhost.management.exchanges(vhost.name)}
    for name, kind in EXCHANGES.items():
        assert (exchanges[name].type, exchanges[name].durable) == (kind, True), name
    queues = {queue.name: queue for queue in vhost.management.queues(vhost.name)}
    for name in QUEUES:
        assert queues[name].durable, name
    bindings = {(each.source, each.routing_key, each.destination) for each in vhost.management.bindings(vhost.name)}
    assert {
        ("woragis.tasks", "resumes.generate", "resumes.queue"),
        ("cover-letter", "cover-letter.generate", "cover-letter.generate"),
        ("cover-letter", "cover-letter.completed", "notifications.email"),
        ("cover-letter", "cover-letter.completed", "analytics.process"),
        ("bookspace.events", "", "bookspace.notifications"),
        ("bookspace.events.dlx", "", "bookspace.events.dlq"),
        ("user.events", "user.created", "matching.user_events"),
    } <= bindings
    bound = {(source, queue) for source, _, queue in bindings if source.startswith("bookspace.")}
    assert bound == {("bookspace.events", queue) for queue in EVENT_QUEUES} | {
        ("bookspace.events.dlx", "bookspace.events.dlq")
    }


#: Columns as the documents have them: name and type, and the length where they give one.
COLUMNS = {
    "cover_letter_jobs": {
        "id": "uuid",
        "user_id": "integer",
        "job_id": "character varying(255)",
        "status": "character varying(50)",
        "job_description": "text",
        "cv_text": "text",
        "tone": "character varying(50)",
        "cover_letter": "text",
        "error_message": "text",
        "created_at": "timestamp with time zone",
        "updated_at": "timestamp with time zone",
        "completed_at": "timestamp with time zone",
    },
    "resume_jobs": {
        "job_id": "character varying(255)",
        "user_id": "integer",
        "job_description": "text",
        "status": "character varying(50)",
        "metadata": "jsonb",
        "error_message": "text",
        "error_code": "character varying(50)",
        "resume_id": "uuid",
        "created_at": "timestamp with time zone",
        "updated_at": "timestamp with time zone",
    },
    "resumes": {"id": "uuid"},
}


@pytest.mark.parametrize("table", COLUMNS)
async def test_the_tables_have_the_documented_columns(database: Database, table: str) -> None:
    found = await rows(
        database,
        "SELECT column_name AS name, data_type AS type, character_maximum_length AS length, column_default AS initial "
        "FROM information_schema.columns WHERE table_name = %s",
        table,
    )
    columns = {row["name"]: row["type"] + (f"({row['length']})" if row["length"] else "") for row in found}
    assert COLUMNS[table].items() <= columns.items()
    defaults = {row["name"]: row["initial"] for row in found}
    if "status" in columns:
        assert defaults["status"].startswith("'pending'")
        assert "clock_timestamp()" in defaults["created_at"]
    if table == "cover_letter_jobs":
        assert defaults["id"] == "gen_random_uuid()"
    else:
        indexes = await rows(database, "SELECT indexdef FROM pg_indexes WHERE tablename = %s", table)
        assert len(indexes) > 1


def test_compose_has_the_documented_services() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    services = compose["services"]
    assert {"rabbitmq", "postgres", "api", "worker"} <= set(services)
    published = "".join(services["rabbitmq"]["ports"])
    for port in ("5672", "15672"):
        assert f":{port}" in published
    assert "management" in services["rabbitmq"]["image"]
    assert "rabbitmq-data:/var/lib/rabbitmq" in services["rabbitmq"]["volumes"]
    assert {"rabbitmq-data", "postgres-data"} <= set(compose["volumes"])
    for name in ("rabbitmq", "postgres", "api", "worker"):
        assert services[name]["healthcheck"]["test"], name
    for name in ("api", "worker"):
        for dependency in ("rabbitmq", "postgres"):
            assert services[name]["depends_on"][dependency] == {"condition": "service_healthy"}
