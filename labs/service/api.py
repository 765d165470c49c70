"""The HTTP API: it needs the database alone. Without the broker it still accepts, and says that it is degraded."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import structlog
import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

import labs
from labs.broker import find
from labs.errors import BrokerUnavailable, ConfigurationError
from labs.llm.client import ModelClient
from labs.messaging.client import RabbitMQClient
from labs.messaging.connection import check_url
from labs.service.asyncapi import asyncapi_document
from labs.service.auth import Authenticator, WorkersOnly
from labs.service.body_limit import BodyLimit
from labs.service.health import BrokerWatch
from labs.service.limits import RateLimit
from labs.service.middleware import Watch
from labs.service.named_users import NamedUsers
from labs.service.problems import add_problem_handlers, describe_problems
from labs.service.runtime import announce, database_address, process_name, run_process, schema_applied
from labs.service.watching import watching
from labs.settings import Settings
from labs.store.database import Database
from labs.store.hints import Listener, Ringer
from labs.store.jobs import Reading
from labs.store.outbox import Outbox
from labs.systems.job_worker import JOBS_HINT
from labs.systems.registry import SYSTEMS, tables
from labs.systems.system import ApiParts

log = structlog.get_logger()

#: Seconds that a start waits for the database.
_PATIENCE_S = 2.0


@dataclass(frozen=True)
class _Service:
    """What the process holds: what routes get, and a look at the broker."""

    parts: ApiParts
    broker: BrokerWatch

    def end_streams(self) -> None:
        """Open streams would otherwise hold up the end of the process; their clients connect again."""
        self.parts.stopping.set()
        self.parts.listener.wake_all()


def create_app(settings: Settings) -> FastAPI:
    """The application of these settings; `app.state.end_streams()` ends its open streams.

    Raises:
        ConfigurationError: no database, a development secret beyond loopback, or a LAB_AMQP_URL that is none.
    """
    settings.refuse_development_secret()
    if settings.amqp_url:
        check_url(settings.amqp_url)
    service = _service(settings)
    parts = service.parts
    app = FastAPIOffline(
        title="RabbitMQ Lab",
        version=labs.__version__,
        summary="Small systems that work behind a queue.",
        lifespan=_lifespan(service),
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(Watch)
    add_problem_handlers(app)
    for router in (router for system in SYSTEMS for router in system.routes(parts)):
        app.include_router(router)
    jobs = {name: Reading(parts.database, table) for name, table in tables().items()}
    outbox = Outbox(parts.database)
    app.include_router(watching(database=parts.database, jobs=jobs, outbox=outbox, broker=service.broker))
    app.add_api_route("/asyncapi.json", lambda: asyncapi_document(SYSTEMS, settings), include_in_schema=False)
    describe_problems(app)
    app.state.end_streams = service.end_streams
    return app


def _service(settings: Settings) -> _Service:
    name = process_name("api")
    url = database_address(settings)
    watch = BrokerWatch(lambda: _broker_url(settings), settings, name=name)
    database = Database(url, name=name, pool=settings.database_pool)
    authenticate, limit = Authenticator(settings), RateLimit(settings)
    named = NamedUsers(settings, authenticate)
    parts = ApiParts(
        settings=settings,
        database=database,
        ringer=Ringer(database),
        listener=Listener(url, JOBS_HINT),
        model=ModelClient(settings),
        reader=authenticate,
        requester=limit.limited(authenticate),
        named_reader=named,
        named_requester=limit.limited(named),
        worker=WorkersOnly(settings, authenticate),
        client=lambda: _client(watch, settings, name=name),
    )
    return _Service(parts, watch)


def _client(watch: BrokerWatch, settings: Settings, *, name: str) -> RabbitMQClient:
    if watch.url is None:
        raise BrokerUnavailable("no broker has been found yet")
    return RabbitMQClient(watch.url, name=name, settings=settings)


def _broker_url(settings: Settings) -> str | None:
    broker = None if settings.amqp_url else find(settings)
    return settings.amqp_url or (broker.amqp_url if broker else None)


def _lifespan(service: _Service) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    parts = service.parts

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with parts.database, parts.listener, parts.model:
            preparing = asyncio.create_task(schema_applied(parts.database, parts.stopping))
            watch = asyncio.create_task(service.broker.run())
            # Without a database it starts all the same, and answers 503 until there is one.
            preparing.add_done_callback(_say_why_it_failed)
            await asyncio.wait({preparing}, timeout=_PATIENCE_S)
            try:
                yield
            finally:
                preparing.cancel()
                watch.cancel()
                await asyncio.gather(preparing, watch, return_exceptions=True)

    return lifespan


def _say_why_it_failed(preparing: asyncio.Task[None]) -> None:
    error = None if preparing.cancelled() else preparing.exception()
    if error is not None:
        log.error("the schema could not be applied: may this user create tables?", error=str(error))


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
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config, url=f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def main(stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[listening]))
            stopping = tasks.create_task(stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            app.state.end_streams()
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
