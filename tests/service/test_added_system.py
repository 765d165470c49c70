"""docs/add-a-system.md: the code of the page, as its reader copies it, makes a system that does its work."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

import labs.systems
from labs.llm.client import ModelClient
from labs.messaging.delivery import Delivery
from labs.messaging.message import Message
from labs.processes import free_ports
from labs.service import api
from labs.service.asyncapi import asyncapi_document
from labs.settings import ROOT, load_settings
from labs.store.database import Database
from labs.store.hints import Ringer
from labs.systems.callback import Callback
from labs.systems.system import Consuming, System, WorkerParts
from tests.databases import opened, rows
from tests.llm.stub_support import INSTANT, address_of, start_stub
from tests.service.conftest import SECRET, token
from tests.systems.deliveries import delivery

PAGE = (ROOT / "docs" / "add-a-system.md").read_text(encoding="utf-8")


@pytest.fixture
def headlines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """The system that the page has its reader write."""
    folder = tmp_path / "labs" / "systems" / "headlines"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    for path, code in re.findall(r"```python\n# (labs/systems/headlines/\w+\.py)\n(.*?)```", PAGE, re.S):
        (tmp_path / path).write_text(code, encoding="utf-8")
    monkeypatch.setattr(labs.systems, "__path__", [*labs.systems.__path__, str(folder.parent)])
    yield importlib.import_module("labs.systems.headlines.system").HEADLINES
    for name in [name for name in sys.modules if name.startswith("labs.systems.headlines")]:
        del sys.modules[name]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With the tables of the page."""
    [schema] = re.findall(r"```sql\n(.*?)```", PAGE, re.S)
    async with opened(database_url) as database:
        for _ in range(2):  # it is applied at every start
            await rows(database, schema)
        yield database


@pytest.fixture
async def model() -> AsyncIterator[ModelClient]:
    process = start_stub("--dials", INSTANT.model_dump_json())
    async with ModelClient(base_url=f"{address_of(process)}/v1", timeout_s=60) as model:
        yield model
    process.terminate()
    process.wait(60)


async def test_the_system_of_the_page_does_its_work(
    headlines: System, database: Database, database_url: str, model: ModelClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an API that has this system,
    monkeypatch.setattr(api, "SYSTEMS", (headlines,))
    nobody = f"amqp://127.0.0.1:{free_ports(1, seed='nobody')[0]}/"
    settings = load_settings(database_url=database_url, amqp_url=nobody, jwt_secret=SECRET)
    app = api.create_app(settings)
    headers = {"Authorization": f"Bearer {token()}"}
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers)
    parts = WorkerParts(
        settings=settings,
        name="test",
        database=database,
        ringer=Ringer(database),
        model=model,
        callback=Callback(settings),
    )
    async with app.router.lifespan_context(app), client:
        asked = await client.post("/api/headlines", json={"text": "It has rained for a week."})
        assert (asked.status_code, asked.json()["status"]) == (202, "pending")
        # when each of its consumers gets what was sent to it,
        consumers = {consuming.queue: consuming for consuming in headlines.consumers(parts)}
        assert set(consumers) == set(headlines.queues)
        for queue in headlines.queues:
            await consumers[queue].handler(await _delivered(database, consumers[queue]))
        # then there is a headline, and it has been counted.
        [job] = (await client.get("/api/headlines/jobs")).json()["jobs"]
        told = (await client.get(asked.headers["location"])).json()
    assert (job["status"], told["status"]) == ("completed", "completed")
    assert told["headline"]
    assert await rows(database, "SELECT written FROM headline_counts") == [{"written": 1}]


async def _delivered(database: Database, consuming: Consuming) -> Delivery:
    """The newest message of the outbox, as that queue's consumer gets it."""
    [row] = await rows(database, "SELECT * FROM outbox ORDER BY id DESC LIMIT 1")
    message = Message(
        type=row["type"],
        version=row["version"],
        body=row["body"].encode(),
        message_id=str(row["message_id"]),
        correlation_id=row["correlation_id"],
    )
    return delivery(message, consuming.schemas.parse(message), queue=consuming.queue)


def test_its_contract_is_told_and_its_queues_are_reached(headlines: System) -> None:
    operations = asyncapi_document([headlines], load_settings())["operations"]
    assert set(operations) == {
        *(f"send_headlines_{what}" for what in ("write", "written", "failed")),
        *(f"receive_headlines_{what}" for what in ("write", "count")),
    }
    assert all(operation["messages"] for operation in operations.values())
