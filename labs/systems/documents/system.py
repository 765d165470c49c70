"""The document system: what happens to documents is told once, and three consumers make of it what is theirs."""

from __future__ import annotations

from labs.systems.contract import Sent
from labs.systems.documents.messages import EVENTS
from labs.systems.documents.topology import EXCHANGE, QUEUES, topology
from labs.systems.system import System, later

DOCUMENTS = System(
    name="documents",
    topology=topology,
    queues=QUEUES,
    consumers=later("labs.systems.documents.worker:consumers"),
    routes=later("labs.systems.documents.routes:routes"),
    sends=tuple(Sent(schema=schema, exchange=EXCHANGE, key=schema.name) for schema in EVENTS),
)
