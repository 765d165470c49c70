"""The HTTP API: it needs the database alone. Without the broker it still accepts, and says that it is degraded."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import structlog
import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from pydantic import BaseModel

import labs
from labs.broker import find
from labs.errors import ConfigurationError, DatabaseUnavailable
from labs.llm.client import ModelClient
from labs.service.auth import Authenticator
from labs.service.health import BrokerWatch, database_up
from labs.service.limits import RateLimit
from labs.service.middleware import Watch
from labs.service.problems import add_problem_handlers
from labs.service.runtime import announce, database_address, process_name, run_process
from labs.settings import Settings
from labs.store.database import Database
from labs.store.hints import Listener, Ringer
from labs.store.jobs import Jobs
from labs.store.outbox import Outbox
from labs.systems.cover_letters import jobs as cover_letters
from labs.systems.cover_letters.routes import CoverLetterApi, routes
from labs.systems.job_worker import JOBS_HINT

log = structlog.get_logger()

JOBS = Gauge("lab_jobs", "Jobs by status.", ("system", "status"))
OUTBOX = Gauge("lab_outbox_unpublished", "Messages that wait for the relay.")


class Health(BaseModel):
    """How the service and its dependencies are."""

    status: str
    database: str
    broker: str


@dataclass(frozen=True)
class _Parts:
    database: Database
    jobs: Jobs
    outbox: Outbox
    listener: Listener
    broker: BrokerWatch
    model: ModelClient


def create_app(settings: Settings) -> FastAPI:
    """The application of these settings.

    Raises:
        ConfigurationError: no database, or a development secret beyond loopback.
    """
    settings.refuse_development_secret()
    name = process_name("api")
    url = database_address(settings)
    database = Database(url, name=name, pool=settings.database_pool)
    parts = _Parts(
        database=database,
        jobs=Jobs(database, cover_letters.TABLE),
        outbox=Outbox(database),
        listener=Listener(url, JOBS_HINT),
        broker=BrokerWatch(_broker_url(settings), settings, name=name),
        model=ModelClient(settings),
    )
    app = FastAPI(
        title="RabbitMQ Lab",
        version=labs.__version__,
        summary="Cover letters, written by a language model behind a queue.",
        lifespan=_lifespan(parts),
        max_body_size=settings.max_body_bytes,
    )
    app.add_middleware(Watch)
    add_problem_handlers(app)
    authenticate = Authenticator(settings)
    app.include_router(
        routes(
            CoverLetterApi(
                jobs=parts.jobs,
                model=parts.model,
                ringer=Ringer(database),
                listener=parts.listener,
                reader=authenticate,
                requester=RateLimit(settings).limited(authenticate),
                sync_concurrency=settings.sync_concurrency,
            )
        )
    )
    _add_watching(app, parts)
    return app


def _broker_url(settings: Settings) -> str | None:
    broker = None if settings.amqp_url else find(settings)
    return settings.amqp_url or (broker.amqp_url if broker else None)


def _lifespan(parts: _Parts) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with parts.database, parts.listener, parts.model:
            await _prepare(parts.database)
            watch = asyncio.create_task(parts.broker.run())
            try:
                yield
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)

    return lifespan


async def _prepare(database: Database) -> None:
    """Apply the schema; without a database start all the same, and answer 503 until it is there."""
    try:
        await database.wait_until_up(timeout_s=10)
        await database.apply_schema()
    except DatabaseUnavailable as error:
        log.warning("starting without a database", reason=str(error))


def _add_watching(app: FastAPI, parts: _Parts) -> None:
    @app.get("/healthz", tags=["watching"], summary="Whether the process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["watching"], summary="Whether it can do its work")
    async def readyz(response: Response) -> Health:
        """503 without the database; `degraded` without the broker: jobs are accepted and wait."""
        database = await database_up(parts.database)
        if not database:
            response.status_code = 503
        status = "ok" if database and parts.broker.up else "degraded" if database else "unavailable"
        return Health(status=status, database=_up(database), broker=_up(parts.broker.up))

    @app.get("/metrics", tags=["watching"], summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        with contextlib.suppress(DatabaseUnavailable):
            for status, count in (await parts.jobs.counts()).items():
                JOBS.labels("cover_letters", status.value).set(count)
            OUTBOX.set(await parts.outbox.unpublished())
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _up(up: bool) -> str:
    return "up" if up else "down"


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; open streams end, requests in flight finish.

    Raises:
        ConfigurationError: the port is taken, or see `create_app`.
    """
    app = create_app(settings)
    listening = _listen(settings)
    host, port = listening.getsockname()[:2]
    config = uvicorn.Config(
        app,
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config, url=f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def main(stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[listening]))
            stopping = tasks.create_task(stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            stopping.cancel()

    run_process("api", settings, main)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    try:
        return socket.create_server((settings.api_host, settings.api_port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"the API can't listen on {settings.api_host}:{settings.api_port} ({error.strerror}): "
            "set LAB_API_PORT to a free port"
        ) from None


class _Server(uvicorn.Server):
    """Announces itself, and leaves the signals to us."""

    def __init__(self, config: uvicorn.Config, *, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            announce("api", url=self._url)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
