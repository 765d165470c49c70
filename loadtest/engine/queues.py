"""The queues of a run: made before it, looked at while it lasts, and removed after it; no other is ever touched."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, Self

import pika
from pika.exceptions import AMQPError

from loadtest.engine.plan import Plan
from loadtest.engine.workers import RunFailed


class Queues:
    """Durable queues with names of their own; a context manager that removes them.

    Raises:
        RunFailed: the broker doesn't answer, refuses us, or has a queue of that name with other arguments.
    """

    def __init__(self, url: str, plan: Plan, *, run: int) -> None:
        self._url = url
        self._plan = plan
        self.names = [f"load.{run:08x}.{number:03d}" for number in range(plan.queues)]
        self._made: list[str] = []
        self._connection: pika.BlockingConnection | None = None

    def __enter__(self) -> Self:
        try:
            channel = self._connected().channel()
            for name in self.names:
                arguments = {"x-queue-type": self._plan.queue_type}
                channel.queue_declare(name, durable=True, arguments=arguments)
                self._made.append(name)
            channel.close()
        except (AMQPError, OSError) as error:
            self._remove()
            raise RunFailed(f"the queues could not be made: {_words(error)}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def ready(self) -> int | None:
        """Messages that wait in all of them; None if the broker doesn't answer just now."""
        try:
            channel = self._connected().channel()
            count = sum(channel.queue_declare(name, passive=True).method.message_count for name in self._made)
            channel.close()
        except (AMQPError, OSError):
            self._connection = None
            return None
        return int(count)

    def _connected(self) -> pika.BlockingConnection:
        if self._connection is None or self._connection.is_closed:
            parameters = pika.URLParameters(self._url)
            parameters.connection_attempts, parameters.retry_delay = 3, 0.5
            parameters.socket_timeout = parameters.stack_timeout = 5.0
            # It is asked now and then alone, and may not be there to answer heartbeats in between.
            parameters.heartbeat = 0
            parameters.client_properties = {"connection_name": "load queues"}
            self._connection = pika.BlockingConnection(parameters)
        return self._connection

    def _remove(self) -> None:
        with contextlib.suppress(AMQPError, OSError):
            channel = self._connected().channel()
            for name in self._made:
                channel.queue_delete(name)
        self._made = []
        if self._connection is not None and self._connection.is_open:
            with contextlib.suppress(AMQPError, OSError):
                self._connection.close()


def _words(error: Exception) -> str:
    inner: Any = getattr(error, "reply_text", None)
    return str(inner or error or type(error).__name__)
