"""A process of a system's own: one client of the broker, one pool of the database, and what the system serves."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from labs.errors import BrokerError
from labs.messaging.client import RabbitMQClient
from labs.messaging.supervision import Backoff
from labs.service.monitor import serve_monitor
from labs.service.runtime import broker_address, database_address, process_name, ready, run_process, schema_applied
from labs.settings import Settings
from labs.store.database import Database
from labs.store.hints import Ringer
from labs.systems.registry import services
from labs.systems.system import Serve, ServiceParts

log = structlog.get_logger()


def run_service(settings: Settings, service: str) -> None:
    """Serve until SIGTERM or SIGINT, which let it finish what it has in hand.

    Args:
        settings: RABBITMQ_URL, if set, says where the broker is.
        service: `SYSTEM-SERVICE`.

    Raises:
        ConfigurationError: no broker or no database is known.
    """
    serve = services()[service]
    amqp_url = settings.rabbitmq_url or broker_address(settings)
    database_url = database_address(settings)

    async def main(stop: asyncio.Event) -> None:
        name = process_name(service)
        client = RabbitMQClient(amqp_url, name=name, settings=settings)
        async with Database(database_url, name=name, pool=settings.database_pool) as database:
            await schema_applied(database, stop)
            parts = ServiceParts(settings=settings, database=database, ringer=Ringer(database), client=client)
            async with serve_monitor(settings, healthy=lambda: client.connected):
                await _started(parts, serve, stop)
                await ready(stop, lambda: client.connected, kind=service)
                await stop.wait()
                await client.close()

    run_process(service, settings, main)


async def _started(parts: ServiceParts, serve: Serve, stop: asyncio.Event) -> None:
    """Connect and start serving; a broker that is away, or refuses, is waited for."""
    backoff = Backoff()
    while not stop.is_set():
        try:
            await parts.client.connect()
            await serve(parts)
        except BrokerError as error:
            log.warning("waiting for the broker", reason=str(error))
            await parts.client.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next_delay_s()):
                    await stop.wait()
        else:
            return
