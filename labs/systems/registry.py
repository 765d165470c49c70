"""All systems of the lab: whoever adds one adds it here, and API, workers, relay and command line have it."""

from __future__ import annotations

from labs.messaging.topology import Topology
from labs.settings import Settings
from labs.store.statements import JobTable
from labs.systems.cover_letters.system import COVER_LETTERS
from labs.systems.resumes.system import RESUMES
from labs.systems.system import System

SYSTEMS: tuple[System, ...] = (COVER_LETTERS, RESUMES)


def topology(settings: Settings) -> Topology:
    """Of all systems together."""
    whole = Topology()
    for system in SYSTEMS:
        whole += system.topology(settings)
    return whole


def work_queues() -> tuple[str, ...]:
    """All queues that somebody works on."""
    return tuple(queue for system in SYSTEMS for queue in system.queues)


def tables() -> dict[str, JobTable]:
    """The tables of jobs by the name of their system."""
    return {system.name: system.table for system in SYSTEMS if system.table}
