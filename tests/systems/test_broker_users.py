"""The broker users that Compose makes may do what the systems need; tests/compose proves that they may do no more."""

from __future__ import annotations

import json
import re

import pytest

from labs.messaging.topology import dead_letter_queue
from labs.settings import ROOT, Settings
from labs.systems.registry import topology, work_queues

DEFINITIONS = json.loads((ROOT / "deploy/rabbitmq/definitions.json").read_text())
TOPOLOGY = topology(Settings.model_construct())
EXCHANGES = {exchange.name for exchange in TOPOLOGY.exchanges}
QUEUES = {queue.name for queue in TOPOLOGY.queues}
LETTERS = {dead_letter_queue(name) for name in work_queues()}


@pytest.mark.parametrize("user", ["relay", "worker"])
@pytest.mark.parametrize(
    ("permission", "names"),
    [
        ("configure", EXCHANGES | QUEUES),
        ("read", EXCHANGES | QUEUES - LETTERS),
        ("write", {"amq.default", *work_queues()}),
    ],
)
def test_each_service_may_use_every_systems_topology(user: str, permission: str, names: set[str]) -> None:
    [allowed] = [each[permission] for each in DEFINITIONS["permissions"] if each["user"] == user]
    assert {name for name in names if not re.search(allowed, name)} == set()


def test_the_relay_alone_publishes_to_the_exchanges() -> None:
    writes = {each["user"]: each["write"] for each in DEFINITIONS["permissions"]}
    for name in EXCHANGES:
        assert re.search(writes["relay"], name)
        assert not re.search(writes["worker"], name)
