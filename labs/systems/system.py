"""What a system says of itself, so that API, workers, relay and command line run it without knowing it.

A module with a `System` imports little: what serves routes or handles messages is imported when it is asked for, so
that a worker does without the web framework, and a command without both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labs.messaging.delivery import Handler, OnDeadLetter
from labs.messaging.message import Schemas
from labs.messaging.topology import Topology
from labs.settings import Settings
from labs.store.database import Database
from labs.store.hints import Listener, Ringer
from labs.store.statements import JobTable

if TYPE_CHECKING:
    from fastapi import APIRouter

    from labs.llm.client import ModelClient
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
        worker: a dependency that lets workers in alone.
        stopping: set when streams are to end; the listener must be woken then.
    """

    settings: Settings
    database: Database
    ringer: Ringer
    listener: Listener
    model: ModelClient
    reader: Callable[..., Any]
    requester: Callable[..., Any]
    worker: Callable[..., Any]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, kw_only=True)
class System:
    """One of the systems.

    Args:
        name: in metrics and on the command line.
        topology: exchanges, queues and bindings, as these settings want them.
        queues: its work queues, each with a dead-letter queue.
        table: of its jobs, if it has some.
        consumers: what its part of a worker handles.
        routes: its part of the API.
    """

    name: str
    topology: Callable[[Settings], Topology]
    queues: tuple[str, ...]
    consumers: Callable[[WorkerParts], Sequence[Consuming]]
    routes: Callable[[ApiParts], Sequence[APIRouter]]
    table: JobTable | None = None
