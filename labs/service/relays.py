"""The relay process: outbox to broker, the reconciler, and the sweeps of all systems."""

from __future__ import annotations

import asyncio
from functools import partial

from labs.messaging.publisher import Publisher
from labs.messaging.topology import declare
from labs.relay import Relay
from labs.service.monitor import serve_monitor
from labs.service.runtime import Addresses, addresses, process_name, ready, run_process, running, schema_applied
from labs.settings import Settings
from labs.store.database import Database
from labs.store.hints import Listener
from labs.store.outbox import OUTBOX_HINT, Outbox
from labs.systems.registry import SYSTEMS, topology


def run_relay(settings: Settings) -> None:
    """Relay until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: no broker or no database is known.
    """
    found = addresses(settings)

    async def main(stop: asyncio.Event) -> None:
        await _relay(settings, found, stop)

    run_process("relay", settings, main)


async def _relay(settings: Settings, found: Addresses, stop: asyncio.Event) -> None:
    name = process_name("relay")
    database = Database(found.database_url, name=name, pool=settings.database_pool)
    # The queues must be there before the first message, or it would be returned.
    publisher = Publisher(
        found.amqp_url,
        name=name,
        prepare=lambda channel: declare(channel, topology(settings)),
        timeout_s=settings.publish_timeout_s,
        heartbeat_s=settings.heartbeat_s,
    )
    listener = Listener(found.database_url, OUTBOX_HINT)
    relay = Relay(
        Outbox(database),
        publisher,
        listener,
        batch=settings.relay_batch,
        lease_s=settings.relay_lease_s,
        reconcile_after_s=settings.reconcile_after_s,
        sweeps=[partial(system.sweep, database, settings) for system in SYSTEMS if system.sweep],
    )
    async with database, publisher, listener:
        await schema_applied(database, stop)
        async with serve_monitor(settings, healthy=lambda: publisher.connected), running(relay.run()):
            await ready(stop, lambda: publisher.connected, kind="relay")
            await stop.wait()
