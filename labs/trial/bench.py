"""A bench for small programs: a broker behind a tap, a database, processes that can be killed, and one history.

Tests put programs on it that are wrong on purpose, and exercises those of learners. What the bench itself publishes is
confirmed, persistent, and marked as published in the history.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import pika
import psycopg
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, NackError

from labs.broker import Depth
from labs.processes import tail, wait_until
from labs.store.asking import committed_at
from labs.trial import operations as op
from labs.trial.history import History, Ids, Kind
from labs.trial.site import clock_offset_ns, monotonic_ns
from labs.trial.tap import Tap

#: Of every table of a bench, for its history: when the row was written, and in which transaction.
AT = "at timestamptz NOT NULL DEFAULT clock_timestamp(), tx xid8 NOT NULL DEFAULT pg_current_xact_id()"
#: When that transaction was committed: an ack in the middle of it came too early.
COMMITTED_AT = committed_at("tx::xid", written="at")

#: Of a message that the broker refuses.
_TRIES = 20
#: The most that counts between two looks at whether anything moves.
_LOOK_S = 0.25
#: A program's transaction that is never ended must not keep the bench waiting for its rows.
_LOCK_TIMEOUT = "-c lock_timeout=10s"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a bench waits: until nothing has moved for `still_s`, and in all for `endless_s`."""

    still_s: float = 4.0
    endless_s: float = 12.0
    start_s: float = 30.0


class Bench:
    """Broker, database and programs of one trial. A context manager: at its end every program is killed.

    Args:
        amqp_url: of the broker's virtual host, which is the bench's own.
        database_url: of a database of its own.
        folder: for the programs' logs.
        environment: variables of all programs.
    """

    def __init__(
        self,
        amqp_url: str,
        database_url: str,
        history: History,
        *,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.direct_url = amqp_url
        self.database_url = database_url
        self.history = history
        self.folder = folder
        self._environment = {**os.environ, **(environment or {})}
        self.patience = Patience()
        self.processes: dict[str, subprocess.Popen[Any]] = {}
        self._killed: set[str] = set()
        self._closing = ExitStack()
        self._publisher: BlockingChannel | None = None
        self._watcher: BlockingChannel | None = None

    def __enter__(self) -> Self:
        address = urlsplit(self.direct_url)
        with ExitStack() as stack:
            tap = Tap(self.history, broker_host=address.hostname or "127.0.0.1", broker_port=address.port or 5672)
            self._port = stack.enter_context(tap).port
            connecting = psycopg.connect(self.database_url, autocommit=True, options=_LOCK_TIMEOUT)
            self.database = stack.enter_context(connecting)
            stack.callback(self._end_all)
            self._closing = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def url(self, name: str) -> str:
        """The tap's AMQP URL for a program of that name, by which the history will call it."""
        address = urlsplit(self.direct_url)
        credentials = address.netloc.rpartition("@")[0]
        properties = quote(repr({"connection_name": name}))
        return f"amqp://{credentials}@127.0.0.1:{self._port}{address.path}?client_properties={properties}"

    # Programs

    def start(
        self, name: str, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a program; what it prints is in `NAME.log`, if the options of `Popen` don't say otherwise."""
        with (self.folder / f"{name}.log").open("ab") as log:
            options = {"stdout": log, "stderr": log, **options}
            process = subprocess.Popen(
                [sys.executable, *command],
                env={**self._environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # with its children, which are killed with it
                **options,
            )
        self.processes[name] = process
        self._killed.discard(name)
        return process

    @contextmanager
    def running(self, name: str, command: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
        """A program for the length of a block; it is killed at the end."""
        with self.start(name, command, **options) as process:
            try:
                yield process
            finally:
                _kill(process)

    def kill(self, name: str) -> str:
        """SIGKILL, and wait until it is gone; returns what was seen."""
        process = self.processes[name]
        self.history.add("nemesis", "ok", op.KILL, value=name)
        self._killed.add(name)
        _kill(process)
        return f"process {process.pid} is gone"

    def ended(self) -> dict[str, str]:
        """The programs that ended by themselves, with the ends of their logs."""
        return {
            name: tail(self.folder / f"{name}.log", lines=12)
            for name, process in self.processes.items()
            if name not in self._killed and process.poll() is not None
        }

    def _end_all(self) -> None:
        for process in self.processes.values():
            _kill(process)

    # The broker

    @contextmanager
    def channel(self, name: str = "") -> Iterator[BlockingChannel]:
        """A channel in confirm mode: past the tap, or through it as a program of that name."""
        with pika.BlockingConnection(pika.URLParameters(self.url(name) if name else self.direct_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel

    def publish(
        self, messages: Mapping[str, bytes], *, key: str, exchange: str = "", mandatory: bool = True, mark: bool = True
    ) -> None:
        """Publish, as the right publisher does: confirmed, mandatory, and then marked if need be."""
        if self._publisher is None:
            self._publisher = self._closing.enter_context(self.channel("publisher"))
        for message, body in messages.items():
            properties = pika.BasicProperties(message_id=message, delivery_mode=2, headers={"attempt": 1})
            for left in reversed(range(_TRIES)):
                try:
                    self._publisher.basic_publish(exchange, key, body, properties, mandatory=mandatory)
                    break
                except NackError:  # RabbitMQ 4 says so when one of the queues goes away in this moment
                    if not left:
                        raise
            if mark:
                self.history.add("publisher", "ok", op.MARK, Ids(message=message))

    def depth(self, queue: str) -> Depth:
        """Of a queue, just now; nothing and nobody if it isn't there."""
        if self._watcher is None or not self._watcher.is_open:
            self._watcher = self._closing.enter_context(self.channel())
        try:
            found = self._watcher.queue_declare(queue, passive=True).method
        except ChannelClosedByBroker:
            return Depth(0, consumers=0)
        return Depth(found.message_count, consumers=found.consumer_count)

    # The history

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """What the block breaks and mends is a fault of this name."""
        self.history.add("nemesis", "invoke", op.FAULT, value=name)
        yield
        self.history.add("nemesis", "info", op.FAULT, value=name)
        self.history.add("nemesis", "ok", op.FAULT, value=name)

    def times(self, operation: str, *, process: str = "") -> int:
        """How often an operation was seen, of one process if named."""
        events = list(self.history.events)
        return sum(e.operation == operation and process in {"", e.process} for e in events)

    def messages(self, operation: str) -> set[str]:
        """Those of an operation."""
        return {event.message for event in list(self.history.events) if event.operation == operation}

    def in_hand(self) -> int:
        """Messages that living programs have got on their last connection and not settled."""
        held: Counter[str] = Counter()
        for event in list(self.history.events):
            if event.operation == op.CONNECT:
                held[event.process] = 0
            elif event.operation in {op.DELIVER, op.SETTLE}:
                held[event.process] += 1 if event.operation == op.DELIVER else -1
        return sum(number for name, number in held.items() if name in self.processes and name not in self._killed)

    def wait(self, condition: Callable[[], bool], *, every_s: float = 0.01) -> bool:
        """Wait for it as long as a program may take to start; whether it came."""
        return wait_until(condition, timeout_s=self.patience.start_s, every_s=every_s)

    def drain(self, all_done: Callable[[], bool]) -> bool:
        """Wait until all is done, or nothing moves, or something never ends; whether all is done."""
        still_s, waited_s, before, looked_at = 0.0, 0.0, -1, time.monotonic()
        done: Kind = "info"
        while waited_s < self.patience.endless_s:
            if all_done():
                done = "ok"
                break
            if len(self.history.events) != before:
                still_s, before = 0.0, len(self.history.events)
            if still_s > self.patience.still_s:
                done = "fail"
                break
            time.sleep(0.05)
            # A machine that stands still lets nothing move: that counts as one look, not as seconds.
            passed_s, looked_at = min(time.monotonic() - looked_at, _LOOK_S), time.monotonic()
            still_s, waited_s = still_s + passed_s, waited_s + passed_s
        self.history.add("runner", done, op.PHASE, value=op.DRAIN)
        return done == "ok"

    def effects(self, query: str, *, queue: str = "") -> None:
        """Write down the effects that a query finds: message, at, and the queue if it isn't the same for all."""
        offset_ns = clock_offset_ns()
        for message, at, *where in self.database.execute(query.encode()).fetchall():
            about = Ids(message=message, queue=where[0] if where else queue)
            at_ns = monotonic_ns(at, offset_ns=offset_ns)
            self.history.add("database", "ok", op.EFFECT, about, at_ns=at_ns, value=op.DONE)

    def at_rest(self, queues: Sequence[str]) -> None:
        """Write down what each queue has of consumers, kill them all, and then of messages: all that they held too.

        A program that is about to ack its last message gets the time for that.
        """
        wait_until(lambda: not (self.in_hand() or any(self.depth(queue).messages for queue in queues)), timeout_s=2)
        for queue in queues:
            self.history.add("broker", "info", op.CONSUMERS, Ids(queue=queue), count=self.depth(queue).consumers)
        self._killed |= set(self.processes)
        self._end_all()
        wait_until(lambda: not any(self.depth(queue).consumers for queue in queues), timeout_s=10)
        for queue in queues:
            self.history.add("broker", "info", op.DEPTH, Ids(queue=queue), count=self.depth(queue).messages)


def _kill(process: subprocess.Popen[Any]) -> None:
    """SIGKILL to a program and its children, and wait until it is gone. One that has ended may be another's number."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
