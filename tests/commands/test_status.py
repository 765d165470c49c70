"""status: tells of each system what waits, what is tried again, what was given up, and how its jobs stand."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from labs.broker import VirtualHost
from labs.messaging.publisher import Publisher
from labs.messaging.topology import declare, retry_queue
from labs.settings import load_settings
from labs.store.database import Database
from labs.store.jobs import Jobs
from labs.systems.registry import topology
from labs.systems.resumes.jobs import TABLE
from tests.commands.conftest import CommandLine
from tests.databases import resume
from tests.workbench import ping

#: The second one is long enough to be seen waiting.
DELAYS_MS = (10, 3_600_000)
WAITING = retry_queue("resumes.webhooks", DELAYS_MS[1])


@pytest.fixture
async def put(vhost: VirtualHost, database_url: str) -> None:
    """Messages where messages may be, and two resumes, one of them cancelled."""
    settings = load_settings(retry_delays_ms=DELAYS_MS)
    async with Publisher(vhost.amqp_url, name="test", prepare=lambda it: declare(it, topology(settings))) as publisher:
        await asyncio.gather(
            *(
                publisher.publish(ping(), exchange="", routing_key=queue)
                for queue, count in (("resumes.queue", 3), (WAITING, 1), ("resumes.webhooks.dlq", 2))
                for _ in range(count)
            )
        )
    async with Database(database_url, name="test") as database:
        await database.apply_schema()
        jobs = Jobs(database, TABLE)
        made = await jobs.create(resume(), resume())
        await jobs.cancel(made[0].job.job_id, user_id=1)


def system(facts: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [each for each in facts["systems"] if each["name"] == name]
    return dict(found)


@pytest.mark.usefixtures("put")
def test_each_system_is_told_by_itself(labs: CommandLine) -> None:
    done = labs("status", "--json", LAB_RETRY_DELAYS_MS="10,3600000")
    assert done.returncode == 3  # nothing runs, and that is seen all the same
    resumes = system(json.loads(done.stdout), "resumes")
    assert resumes["jobs"] == {"pending": 1, "processing": 0, "completed": 0, "failed": 0, "cancelled": 1}
    queues = {queue["name"]: queue for queue in resumes["queues"]}
    assert [(each["ready"], each["retrying"], each["consumers"], each["deadLetters"]) for each in queues.values()] == [
        (3, 0, 0, 0),
        (0, 1, 0, 2),
    ]
    letters = system(json.loads(done.stdout), "cover_letters")
    assert sum(letters["jobs"].values()) == 0
    assert sum(queue["ready"] + queue["deadLetters"] for queue in letters["queues"]) == 0

    table = labs("status", LAB_RETRY_DELAYS_MS="10,3600000").stdout
    assert "resumes: 1 pending, 0 processing, 0 completed, 0 failed, 1 cancelled" in table
    [shown] = [line for line in table.splitlines() if "resumes.webhooks" in line]
    assert re.findall(r"\d+", shown) == ["0", "1", "0", "2"]


def test_without_tables_and_queues_it_says_what_it_knows(labs: CommandLine) -> None:
    facts = json.loads(labs("status", "--json").stdout)
    assert facts["database"]["version"] is None
    assert "no tables" in facts["database"]["error"]
    assert system(facts, "resumes")["jobs"] is None
    assert system(facts, "resumes")["queues"][0]["ready"] is None
    assert "?" in labs("status").stdout
