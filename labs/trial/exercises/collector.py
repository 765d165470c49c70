"""The right consumer at the other end, for trials of publishers: it takes what comes, and writes down its effect."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from labs.trial import operations as op
from labs.trial.bench import Bench
from labs.trial.history import Ids


class Collector:
    """Consumes queues through the tap for the length of a block; each message has its effect once in each queue."""

    def __init__(self, bench: Bench, queues: Sequence[str]) -> None:
        self._bench = bench
        self._queues = queues
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector")
        self.has: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._bench.channel("consumer") as channel:
            channel.basic_qos(prefetch_count=10)
            for queue in self._queues:
                channel.basic_consume(queue, lambda c, m, p, _, q=queue: self._take(c, m, p, q))  # type: ignore[misc]
            while not self._stop.is_set():
                channel.connection.process_data_events(time_limit=0.05)

    def _take(self, channel: object, method: object, properties: object, queue: str) -> None:
        message = str(getattr(properties, "message_id", ""))
        if (queue, message) not in self.has:
            self._bench.history.add("consumer", "ok", op.EFFECT, Ids(message=message, queue=queue), value=op.DONE)
            self.has.add((queue, message))
        channel.basic_ack(method.delivery_tag)  # type: ignore[attr-defined]
