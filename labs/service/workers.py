"""The worker process: all consumers, one publishing connection, one pool, one model client.

SIGTERM takes no more messages, finishes what runs within the grace period, and gives the rest back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from labs.llm.client import ModelClient
from labs.messaging.consumer import Consumer
from labs.messaging.delivery import ConsumerConfig, Handler, OnDeadLetter
from labs.messaging.message import Schemas
from labs.messaging.publisher import Publisher
from labs.messaging.retry import RetryPolicy
from labs.service.monitor import serve_monitor
from labs.service.runtime import Addresses, addresses, process_name, ready, run_process, running, schema_applied
from labs.settings import Settings
from labs.store.database import Database
from labs.store.hints import Ringer
from labs.store.jobs import Jobs
from labs.store.leases import LeaseKeeper
from labs.systems.cover_letters import jobs as cover_letters
from labs.systems.cover_letters.analytics import Analytics
from labs.systems.cover_letters.email import EmailNotifier
from labs.systems.cover_letters.messages import COMMANDS, EVENTS
from labs.systems.cover_letters.topology import ANALYTICS_QUEUE, EMAIL_QUEUE, GENERATE_QUEUE, topology
from labs.systems.cover_letters.worker import cover_letter_system
from labs.systems.job_worker import JobWorker

log = structlog.get_logger()

#: Events are handled by short transactions: more at once than the pool has connections only wait.
_EVENT_PREFETCH = 50


@dataclass(frozen=True)
class _Parts:
    """What the consumers of a process share."""

    settings: Settings
    addresses: Addresses
    name: str
    database: Database
    publisher: Publisher
    model: ModelClient
    jobs: Jobs
    keeper: LeaseKeeper


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
    jobs = Jobs(database, cover_letters.TABLE)
    keeper = LeaseKeeper(jobs, lease_s=settings.lease_s)
    async with database, publisher, ModelClient(settings) as model:
        await schema_applied(database, stop)
        consumers = _consumers(_Parts(settings, found, name, database, publisher, model, jobs, keeper))
        async with (
            serve_monitor(settings, healthy=lambda: all(consumer.connected for consumer in consumers)),
            running(keeper.run(), *(consumer.run() for consumer in consumers)),
        ):
            await ready(stop, lambda: all(consumer.connected for consumer in consumers), kind="worker")
            await stop.wait()
            log.info("stopping", in_hand=sum(consumer.in_hand for consumer in consumers), grace_s=settings.grace_s)
            await asyncio.gather(*(consumer.stop(grace_s=settings.grace_s) for consumer in consumers))
    log.info("stopped")


def _consumers(parts: _Parts) -> list[Consumer]:
    settings = parts.settings
    letters = JobWorker(
        parts.jobs,
        cover_letter_system(parts.model),
        name=parts.name,
        keeper=parts.keeper,
        ringer=Ringer(parts.database),
        lease_s=settings.lease_s,
        max_crashes=settings.max_crashes,
    )
    email = EmailNotifier(parts.database, settings)
    analytics = Analytics(parts.database)
    events_prefetch = min(_EVENT_PREFETCH, settings.prefetch)
    return [
        _consumer(
            parts,
            GENERATE_QUEUE,
            schemas=COMMANDS,
            handler=letters.handle,
            give_up=letters.give_up,
            prefetch=settings.prefetch,
        ),
        _consumer(
            parts, EMAIL_QUEUE, schemas=EVENTS, handler=email.handle, give_up=email.give_up, prefetch=events_prefetch
        ),
        _consumer(
            parts,
            ANALYTICS_QUEUE,
            schemas=EVENTS,
            handler=analytics.handle,
            give_up=analytics.give_up,
            prefetch=events_prefetch,
        ),
    ]


def _consumer(
    parts: _Parts, queue: str, *, schemas: Schemas, handler: Handler, give_up: OnDeadLetter, prefetch: int
) -> Consumer:
    settings = parts.settings
    config = ConsumerConfig(
        queue=queue,
        topology=topology(settings),
        schemas=schemas,
        policy=RetryPolicy(settings.retry_delays_ms),
        prefetch=prefetch,
        max_bytes=settings.max_message_bytes,
    )
    return Consumer(
        parts.addresses.amqp_url,
        config,
        handler,
        publisher=parts.publisher,
        name=f"{parts.name} {queue}",
        on_dead_letter=give_up,
        heartbeat_s=settings.heartbeat_s,
        timeout_s=settings.publish_timeout_s,
    )
