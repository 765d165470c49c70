"""Poison ends in the dead-letter queue within bounded attempts, while healthy jobs keep flowing."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import pika
import pytest
from pika.spec import BasicProperties

from labs.messaging.dead_letters import DeadLetter, browse
from labs.processes import wait_until
from labs.settings import Settings
from labs.systems.registry import dead_letter_queues
from tests.faults.faulty import only_jobs
from tests.faults.system import System

pytestmark = pytest.mark.faults

RunSystem = Callable[..., AbstractContextManager[System]]

_HEADERS: dict[str, Any] = {"version": 1, "occurred-at": "2026-01-01T00:00:00+00:00", "attempt": 1}
_MEBIBYTE = 1024 * 1024

#: What is wrong, the body, changes to the headers, the type, and what the reason must say.
POISON = [
    ("not JSON", b"\xff\xfe not json", {}, None, "not JSON"),
    ("a JSON array", b"[1, 2, 3]", {}, None, "body"),
    ("another version", b"{}", {"version": 99}, None, "version 99"),
    ("an unknown type", b"{}", {}, "jobs.destroy", "unknown message type"),
    ("a missing field", b'{"jobId": "x"}', {}, None, "Field required"),
    ("a header of the wrong form", b"{}", {"version": "one"}, None, "wrong form"),
    ("a body of 20 MiB", b"x" * (20 * _MEBIBYTE), {}, None, "20971520 bytes"),
]


def publish_raw(system: System, body: bytes, *, headers: dict[str, Any], type_: str | None = None) -> str:
    """Publish a request's first message as a stranger would; of the right type, if not said otherwise."""
    key, _ = system.kind.first
    message_id = str(uuid.uuid4())
    with pika.BlockingConnection(pika.URLParameters(system.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        properties = BasicProperties(message_id=message_id, type=type_ or key, headers=headers, delivery_mode=2)
        channel.basic_publish(system.kind.exchange, key, body, properties, mandatory=True)
    return message_id


def letters(system: System) -> dict[str | None, DeadLetter]:
    _, [queue, *_] = system.kind.first
    letters = asyncio.run(browse(system.amqp_url, dead_letter_queues(Settings.model_construct())[queue]))
    return {letter.message_id: letter for letter in letters if letter.source == queue}


def test_what_cannot_be_read_is_dead_lettered_with_its_reason_and_harms_nobody(run_system: RunSystem) -> None:
    with run_system() as system:
        with system.load(60):
            # Given every kind of unreadable message among healthy ones
            poisoned = {
                publish_raw(system, body, headers=_HEADERS | headers, type_=type_): (what, body, reason)
                for what, body, headers, type_, reason in POISON
            }
        # Then each is in the dead-letter queue, whole, with its reason
        assert wait_until(lambda: len(letters(system)) == len(POISON), timeout_s=120)
        for message_id, letter in letters(system).items():
            what, body, reason = poisoned[str(message_id)]
            assert reason in letter.reason, what
            assert letter.body == body, what
        system.wait_done(60)
        assert len(system.workers()) == 1


class _FarFuture(datetime):
    """A timestamp header as a careless producer writes it: in milliseconds."""

    def utctimetuple(self) -> time.struct_time:
        hours_to_the_year_57837 = 489_000_000
        return time.struct_time((2026, 1, 1, hours_to_the_year_57837, 0, 0, 0, 1, 0))


def test_a_header_that_no_client_library_can_decode_harms_nobody_either(run_system: RunSystem) -> None:
    with run_system() as system:
        headers = _HEADERS | {"when": _FarFuture(2026, 1, 1)}
        with system.load(20):
            publish_raw(system, b'{"jobId": "x"}', headers=headers)
        # Then it alone is dead-lettered, whole, without the properties that nobody can read: it has no envelope, and
        # to a system that takes strangers' messages too it lacks a field.
        assert wait_until(lambda: len(letters(system)) == 1, timeout_s=60)
        letter = next(iter(letters(system).values()))
        assert letter.body == b'{"jobId": "x"}'
        assert "no message_id" in letter.reason or letter.reason == "user_id: Field required"
        system.wait_done(20)


@only_jobs
def test_a_body_that_kills_its_worker_is_given_up_and_the_innocent_complete(run_system: RunSystem) -> None:
    with run_system(workers=0, lease_s=1, failpoints="job.claimed=kill~KILL-THE-WORKER") as system:
        # Given a supervisor that starts a new worker whenever one dies, as systemd or Compose do
        deaths = 0
        system.stack.launch("worker", name="worker-0")
        with system.load(60):
            killer = system.post(1000, marker="KILL-THE-WORKER")
            while system.count("failed") == 0:
                wait_until(lambda: not system.workers() or system.count("failed") > 0, timeout_s=60)
                if not system.workers():
                    deaths += 1
                    assert deaths < 20, system.describe()
                    system.stack.launch("worker", name=f"worker-{deaths}")
        # Then it was given up after the promised number of deaths, and is in the dead-letter queue
        assert deaths == 6  # max_crashes is 5: the sixth is one too many
        system.wait_done(60)
        assert [
            row["job_id"] for row in system.rows(f"SELECT job_id FROM {system.kind.table} WHERE status = 'failed'")
        ] == [killer]
        assert wait_until(lambda: len(letters(system)) == 1, timeout_s=60)
        assert "workers died on it" in next(iter(letters(system).values())).reason
        # And nobody else was suspected for long
        innocent = f"SELECT max(crashes) AS n FROM {system.kind.table} WHERE status = 'completed'"
        assert system.rows(innocent)[0]["n"] <= 4
