"""What a client must do to take part in a run, and the two loops that drive it; its books are kept by its account."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from loadtest.engine.child import tell, wait_for_start
from loadtest.engine.consumption import Consumption
from loadtest.engine.errors import LinkError
from loadtest.engine.publications import Publications

#: After a lost connection it is tried again so often.
RECONNECT_S = 0.2


class Publisher(Protocol):
    """A client that publishes; each of these may raise `LinkError`, but for `disconnect`."""

    def connect(self) -> None: ...

    def step(self) -> None:
        """Publish what is due, or wait a moment for it; connect again if need be."""
        ...

    @property
    def is_writing(self) -> bool:
        """Whether something is still to be written to the socket."""
        ...

    def disconnect(self) -> None: ...


def publish(account: Publications, publisher: Publisher) -> None:
    """Publish until the schedule is done and answered, or its time and the drain's are over."""
    try:
        publisher.connect()
    except LinkError as error:
        tell("failed", reason=str(error))
        sys.exit(1)
    account.begin(wait_for_start())
    while not account.is_over and not (account.is_sent and account.is_answered and not publisher.is_writing):
        try:
            publisher.step()
        except LinkError as error:
            publisher.disconnect()
            account.lost(error)
            time.sleep(RECONNECT_S)
        account.tick_if_due()
    publisher.disconnect()
    account.end()


class Consumer(Protocol):
    """A client that consumes from one or more queues; what goes wrong after `connect` it tells the account."""

    def connect(self) -> None:
        """Subscribe to all of them.

        Raises:
            LinkError: the broker doesn't answer, or refuses.
        """
        ...

    def step(self) -> None:
        """Take what has come, acknowledge it, or wait a moment; connect again if need be."""
        ...

    def disconnect(self) -> None:
        """Acknowledge the rest, and go."""
        ...


def consume(account: Consumption, consumer: Consumer) -> None:
    """Consume until told to stop."""
    try:
        consumer.connect()
    except LinkError as error:
        tell("failed", reason=str(error))
        sys.exit(1)
    account.begin(wait_for_start())
    while not account.is_over:
        consumer.step()
        account.tick_if_due()
    consumer.disconnect()
    account.end()
