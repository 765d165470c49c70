"""The API's /healthz, /readyz and /metrics: they answer whatever is down, and readiness says what is."""

import contextlib
from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from pydantic import BaseModel, ConfigDict

from labs.errors import DatabaseUnavailable
from labs.service.health import BrokerWatch, database_up
from labs.store.database import Database
from labs.store.jobs import Reading
from labs.store.outbox import Outbox

JOBS = Gauge("lab_jobs", "Jobs by status.", ("system", "status"))
OUTBOX = Gauge("lab_outbox_unpublished", "Messages that wait for the relay.")

Standing = Literal["up", "down"]


class Alive(BaseModel):
    """The process lives."""

    model_config = ConfigDict(json_schema_extra={"example": {"status": "ok"}})

    status: Literal["ok"] = "ok"


class Health(BaseModel):
    """How the service and its dependencies are."""

    model_config = ConfigDict(json_schema_extra={"example": {"status": "ok", "database": "up", "broker": "up"}})

    status: Literal["ok", "degraded", "unavailable"]
    database: Standing
    broker: Standing


_UNAVAILABLE = {"status": "unavailable", "database": "down", "broker": "up"}
_METRICS_EXAMPLE = 'lab_jobs{status="completed",system="cover_letters"} 3.0\n'


def watching(*, database: Database, jobs: Mapping[str, Reading], outbox: Outbox, broker: BrokerWatch) -> APIRouter:
    """The router; `jobs` are those of each system."""
    router = APIRouter(tags=["watching"])

    @router.get("/healthz", summary="Whether the process lives")
    async def healthz() -> Alive:
        return Alive()

    @router.get(
        "/readyz",
        summary="Whether it can do its work",
        responses={
            503: {
                "description": "Without the database",
                "model": Health,
                "content": {"application/json": {"example": _UNAVAILABLE}},
            }
        },
    )
    async def readyz(response: Response) -> Health:
        """503 without the database; `degraded` without the broker: jobs are accepted and wait."""
        if not await database_up(database):
            response.status_code = 503
            return Health(status="unavailable", database="down", broker=_standing(broker))
        return Health(status="ok" if broker.up else "degraded", database="up", broker=_standing(broker))

    @router.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": _METRICS_EXAMPLE}}}},
    )
    async def metrics() -> Response:
        with contextlib.suppress(DatabaseUnavailable):
            for system, table in jobs.items():
                for status, count in (await table.counts()).items():
                    JOBS.labels(system, status.value).set(count)
            OUTBOX.set(await outbox.unpublished())
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def _standing(broker: BrokerWatch) -> Standing:
    return "up" if broker.up else "down"
