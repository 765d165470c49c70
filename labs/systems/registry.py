"""All systems of the lab: whoever adds one adds it here, and API, workers, relay and command line have it."""

from __future__ import annotations

from labs.messaging.topology import Topology
from labs.settings import Settings
from labs.store.statements import JobTable
from labs.systems.cover_letters.system import COVER_LETTERS
from labs.systems.documents.system import DOCUMENTS
from labs.systems.peers.system import PEERS
from labs.systems.resumes.system import RESUMES
from labs.systems.system import Serve, System

SYSTEMS: tuple[System, ...] = (COVER_LETTERS, RESUMES, DOCUMENTS, PEERS)


def topology(settings: Settings) -> Topology:
    """Of all systems together."""
    whole = Topology()
    for system in SYSTEMS:
        whole += system.topology(settings)
    return whole


def work_queues() -> tuple[str, ...]:
    """All queues that somebody works on."""
    return tuple(queue for system in SYSTEMS for queue in system.queues)


def dead_letter_queues(settings: Settings) -> dict[str, str]:
    """The dead-letter queue of each work queue; some share one."""
    whole = topology(settings)
    return {queue: whole.dead_letter_queue(queue) for queue in work_queues()}


def tables() -> dict[str, JobTable]:
    """The tables of jobs by the name of their system."""
    return {system.name: system.table for system in SYSTEMS if system.table}


def services() -> dict[str, Serve]:
    """The processes of systems' own, `SYSTEM-SERVICE`."""
    return {f"{system.name}-{name}": serve for system in SYSTEMS for name, serve in system.services.items()}
