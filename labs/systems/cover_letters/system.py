"""The cover-letter system: a letter written by a model behind a queue, and two events that tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labs.systems.cover_letters.jobs import TABLE
from labs.systems.cover_letters.topology import EVENT_QUEUES, GENERATE_QUEUE, topology
from labs.systems.system import ApiParts, Consuming, System, WorkerParts

if TYPE_CHECKING:
    from fastapi import APIRouter


def _consumers(parts: WorkerParts) -> Sequence[Consuming]:
    from labs.systems.cover_letters.worker import consumers  # noqa: PLC0415

    return consumers(parts)


def _routes(parts: ApiParts) -> Sequence[APIRouter]:
    from labs.systems.cover_letters.routes import routes  # noqa: PLC0415

    return [routes(parts)]


COVER_LETTERS = System(
    name="cover_letters",
    topology=topology,
    queues=(GENERATE_QUEUE, *EVENT_QUEUES),
    table=TABLE,
    consumers=_consumers,
    routes=_routes,
)
