"""The resume system: a PDF made by workers that call the API back, with a model's help or without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labs.systems.resumes.jobs import TABLE
from labs.systems.resumes.topology import GENERATE_QUEUE, WEBHOOK_QUEUE, topology
from labs.systems.system import ApiParts, Consuming, System, WorkerParts

if TYPE_CHECKING:
    from fastapi import APIRouter


def _consumers(parts: WorkerParts) -> Sequence[Consuming]:
    from labs.systems.resumes.worker import consumers  # noqa: PLC0415

    return consumers(parts)


def _routes(parts: ApiParts) -> Sequence[APIRouter]:
    from labs.systems.resumes.routes import routes  # noqa: PLC0415
    from labs.systems.resumes.worker_routes import worker_routes  # noqa: PLC0415

    return [*routes(parts), worker_routes(parts)]


RESUMES = System(
    name="resumes",
    topology=topology,
    queues=(GENERATE_QUEUE, WEBHOOK_QUEUE),
    table=TABLE,
    consumers=_consumers,
    routes=_routes,
)
