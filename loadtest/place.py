"""Where runs happen: a virtual host of their own if the broker lets us make one, gone afterwards with all in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from labs.broker import Broker, Management, check, redacted, resolve, virtual_host
from labs.errors import BrokerError, BrokerRefused
from labs.processes import Progress, quiet
from labs.settings import Settings
from loadtest.engine.errors import LinkError
from loadtest.engine.wire import Link


@dataclass(frozen=True)
class Place:
    """A virtual host on a broker.

    Args:
        url: its AMQP URL.
        virtual_host: its name.
        is_own: it was made for us; in another's, queues have names of the run's own, and only those are removed.
        management: of the broker; None if it doesn't answer us, and then the broker can't be watched.
        rabbitmq, erlang: versions, as far as the broker tells.
    """

    url: str = field(repr=False)
    virtual_host: str
    is_own: bool
    management: Management | None
    rabbitmq: str
    erlang: str

    @property
    def name(self) -> str:
        """Fit to be printed."""
        return f"RabbitMQ {self.rabbitmq} at {redacted(self.url)}"


@contextmanager
def place(settings: Settings, *, progress: Progress = quiet) -> Iterator[Place]:
    """A place for runs, found or started as the lab does it: see `labs.broker.resolve`.

    Raises:
        BrokerError: there is no broker, or it doesn't let us in.
    """
    broker = resolve(settings, progress=progress)
    with ExitStack() as stack:
        management = _management(broker, stack)
        own = _own_url(settings, stack) if management is not None else None
        url = own or broker.amqp_url
        overview = management.overview() if management is not None else None
        yield Place(
            url=url,
            virtual_host=unquote(urlsplit(url).path.removeprefix("/")) or "/",
            is_own=own is not None,
            management=management,
            rabbitmq=overview.version if overview else _version(url),
            erlang=overview.erlang_version if overview else "unknown",
        )


def _management(broker: Broker, stack: ExitStack) -> Management | None:
    management = stack.enter_context(Management(broker.management_url))
    try:
        management.overview()
    except BrokerError:
        return None
    return management


def _own_url(settings: Settings, stack: ExitStack) -> str | None:
    """The URL of a new virtual host; None if we may not make one, or the AMQP user may not use it."""
    try:
        made = stack.enter_context(virtual_host("load", settings=settings))
        check(made.amqp_url)
    except BrokerError:
        return None
    return made.amqp_url


def _version(url: str) -> str:
    """Of a broker without a management API."""
    try:
        link = Link.open(url, name="load version")
    except LinkError as error:
        raise BrokerRefused(str(error)) from error
    link.close()
    return link.version
