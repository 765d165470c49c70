"""What a system says of itself, so that API, workers, relay and command line run it without knowing it.

A module with a `System` imports little: what serves routes or handles messages is imported when it is asked for, so
that a worker does without the web framework, and a command without both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from labs.messaging.delivery import Handler, OnDeadLetter
from labs.messaging.message import Schemas
from labs.messaging.topology import Topology
from labs.settings import Settings
from labs.store.database import Database
from labs.store.hints import Listener, Ringer
from labs.store.statements import JobTable
from labs.systems.contract import Answered, Sent

if TYPE_CHECKING:
    from fastapi import APIRouter

    from labs.llm.client import ModelClient
    from labs.messaging.client import RabbitMQClient
    from labs.systems.callback import Callback

_EVENTS_PREFETCH = 50


@dataclass(frozen=True, kw_only=True)
class Consuming:
    """A queue, and who handles its messages.

    Args:
        queue: a work queue of the system's topology.
        schemas: the message types it understands.
        handler: of a message.
        give_up: told after a message went to the dead-letter queue.
        prefetch: most messages in hand at once.
        beside: what must run as long as the consumer does.
    """

    queue: str
    schemas: Schemas
    handler: Handler
    give_up: OnDeadLetter
    prefetch: int
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerParts:
    """What all consumers of a worker process share.

    Args:
        settings: all of them.
        name: of the process, in leases and history.
        database: its pool.
        ringer: tells relays and streams.
        model: the language model.
        callback: calls to the API.
    """

    settings: Settings
    name: str
    database: Database
    ringer: Ringer
    model: ModelClient
    callback: Callback

    @property
    def events_prefetch(self) -> int:
        """For handlers that are short transactions: more at once than the pool has connections only wait."""
        return min(_EVENTS_PREFETCH, self.settings.prefetch)


@dataclass(frozen=True, kw_only=True)
class ApiParts:
    """What all routes of an API process share.

    Args:
        settings: all of them.
        database: its pool.
        ringer: tells relays of new messages.
        listener: of `JOBS_HINT`.
        model: for what is done while the caller waits.
        reader: a dependency that gives the user of a request.
        requester: the same, counted against the user's limit.
        named_reader: like `reader`, where users have names.
        named_requester: like `requester`, where users have names.
        worker: a dependency that lets workers in alone.
        client: makes a client of the broker, to be connected and closed; `BrokerUnavailable` if none is known yet.
        stopping: set when streams are to end; the listener must be woken then.
    """

    settings: Settings
    database: Database
    ringer: Ringer
    listener: Listener
    model: ModelClient
    reader: Callable[..., Any]
    requester: Callable[..., Any]
    named_reader: Callable[..., Any]
    named_requester: Callable[..., Any]
    worker: Callable[..., Any]
    client: Callable[[], RabbitMQClient]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, kw_only=True)
class ServiceParts:
    """What a process of a system's own gets.

    Args:
        settings: all of them.
        database: its pool.
        ringer: tells relays.
        client: connected to the broker.
    """

    settings: Settings
    database: Database
    ringer: Ringer
    client: RabbitMQClient


#: Starts all that a service consumes and serves, and returns.
Serve = Callable[[ServiceParts], Awaitable[None]]


def _no_consumers(_: WorkerParts) -> Sequence[Consuming]:
    return ()


def later(function: str) -> Callable[..., Any]:
    """The function `module:name`, imported when it is called."""

    def call(*arguments: Any) -> Any:
        return resolve_name(function)(*arguments)

    return call


@dataclass(frozen=True, kw_only=True)
class System:
    """One of the systems.

    Args:
        name: in metrics and on the command line.
        topology: exchanges, queues and bindings, as these settings want them.
        queues: its work queues.
        table: of its jobs, if it has some.
        consumers: what its part of a worker handles.
        routes: its part of the API.
        sends: every kind of message that it publishes.
        answers: every kind of call that it answers.
        sweep: deletes what has expired of what it keeps, if it keeps some for a while; harmless to repeat.
        services: its own processes, by name.
    """

    name: str
    topology: Callable[[Settings], Topology]
    queues: tuple[str, ...]
    routes: Callable[[ApiParts], Sequence[APIRouter]]
    sends: tuple[Sent, ...]
    answers: tuple[Answered, ...] = ()
    consumers: Callable[[WorkerParts], Sequence[Consuming]] = _no_consumers
    table: JobTable | None = None
    services: Mapping[str, Serve] = field(default_factory=dict)
    sweep: Callable[[Database, Settings], Awaitable[None]] | None = None
