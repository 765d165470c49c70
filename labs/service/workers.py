"""The worker process: all consumers, one publishing connection, one pool, one model client.

SIGTERM takes no more messages, finishes what runs within the grace period, and gives the rest back.
"""

from __future__ import annotations

import asyncio

import structlog

from labs.llm.client import ModelClient
from labs.messaging.consumer import Consumer
from labs.messaging.delivery import ConsumerConfig
from labs.messaging.publisher import Publisher
from labs.messaging.retry import RetryPolicy
from labs.messaging.topology import Topology
from labs.service.monitor import serve_monitor
from labs.service.runtime import Addresses, addresses, process_name, ready, run_process, running, schema_applied
from labs.settings import Settings
from labs.store.database import Database
from labs.store.hints import Ringer
from labs.systems.callback import Callback
from labs.systems.registry import SYSTEMS
from labs.systems.system import Consuming, WorkerParts

log = structlog.get_logger()


def run_worker(settings: Settings) -> None:
    """Consume until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: no broker or no database is known.
    """
    found = addresses(settings)

    async def main(stop: asyncio.Event) -> None:
        await _work(settings, found, stop)

    run_process("worker", settings, main)


async def _work(settings: Settings, found: Addresses, stop: asyncio.Event) -> None:
    name = process_name("worker")
    database = Database(found.database_url, name=name, pool=settings.database_pool)
    publisher = Publisher(
        found.amqp_url,
        name=f"{name} publishing",
        timeout_s=settings.publish_timeout_s,
        heartbeat_s=settings.heartbeat_s,
    )
    async with database, publisher, ModelClient(settings) as model, Callback(settings) as callback:
        await schema_applied(database, stop)
        await model.prepare()
        parts = WorkerParts(
            settings=settings,
            name=name,
            database=database,
            ringer=Ringer(database),
            model=model,
            callback=callback,
        )
        work = [(system, each) for system in SYSTEMS for each in system.consumers(parts)]
        consumers = [
            _consumer(parts, each, system.topology(settings), url=found.amqp_url, publisher=publisher)
            for system, each in work
        ]
        beside = [each.beside() for _, each in work if each.beside]
        async with (
            serve_monitor(settings, healthy=lambda: all(consumer.connected for consumer in consumers)),
            running(*beside, *(consumer.run() for consumer in consumers)),
        ):
            await ready(stop, lambda: all(consumer.connected for consumer in consumers), kind="worker")
            await stop.wait()
            log.info("stopping", in_hand=sum(consumer.in_hand for consumer in consumers), grace_s=settings.grace_s)
            await asyncio.gather(*(consumer.stop(grace_s=settings.grace_s) for consumer in consumers))
    log.info("stopped")


def _consumer(
    parts: WorkerParts, consuming: Consuming, topology: Topology, *, url: str, publisher: Publisher
) -> Consumer:
    settings = parts.settings
    config = ConsumerConfig(
        queue=consuming.queue,
        topology=topology,
        schemas=consuming.schemas,
        policy=RetryPolicy(settings.retry_delays_ms),
        prefetch=consuming.prefetch,
        max_bytes=settings.max_message_bytes,
    )
    return Consumer(
        url,
        config,
        consuming.handler,
        publisher=publisher,
        name=f"{parts.name} {consuming.queue}",
        on_dead_letter=consuming.give_up,
        heartbeat_s=settings.heartbeat_s,
        timeout_s=settings.publish_timeout_s,
    )
