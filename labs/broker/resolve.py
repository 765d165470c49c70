"""Finds this lab's RabbitMQ, or starts it, or installs it: always in the same order, always saying what it does.

`LAB_AMQP_URL`; a private node from the installed package; Docker Compose; a private node from a package installed now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

from labs.broker import compose
from labs.broker.compose import Compose
from labs.broker.depth import check, redacted
from labs.broker.install import install
from labs.broker.management import Management
from labs.broker.node import Node
from labs.broker.package import find_package
from labs.errors import BrokerError, BrokerNotFound, BrokerRefused, BrokerUnavailable
from labs.processes import Progress, file_lock, quiet
from labs.settings import Settings

#: A package manager on a slow line.
_INSTALL_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Broker:
    """A RabbitMQ that answers: where, of which kind, and its version if its management API tells."""

    amqp_url: str
    management_url: str
    kind: Literal["url", "node", "compose"]
    version: str | None

    def with_virtual_host(self, name: str) -> str:
        """The AMQP URL of another virtual host of it."""
        return urlsplit(self.amqp_url)._replace(path="/" + quote(name, safe="")).geturl()


def private_node(settings: Settings) -> Node:
    """This checkout's private node, running or not."""
    return Node(settings.home / "broker")


def find(settings: Settings) -> Broker | None:
    """The broker that `resolve` would give, if it runs already; starts and installs nothing."""
    if settings.amqp_url:
        try:
            return _configured(settings, settings.amqp_url)
        except BrokerError:
            return None
    node = private_node(settings)
    if node.is_running():
        return _of_node(node)
    if find_package() is None and Compose().is_running():
        return _of_compose()
    return None


def resolve(settings: Settings, *, progress: Progress | None = None) -> Broker:
    """A broker that answers.

    Raises:
        BrokerUnavailable: the one of LAB_AMQP_URL doesn't answer, or ours didn't start.
        BrokerRefused: the one of LAB_AMQP_URL doesn't let us in.
        BrokerNotFound: there is none, and none could be started or installed.
    """
    progress = progress or quiet
    if settings.amqp_url:
        return _configured(settings, settings.amqp_url)
    if find_package() is None:
        service = Compose()
        if service.is_available():
            service.start(progress)
            return _of_compose()
        install_package(settings, progress=progress)
    node = private_node(settings)
    node.start(progress)
    return _of_node(node)


def install_package(settings: Settings, *, progress: Progress | None = None) -> None:
    """Install RabbitMQ unless it is there; of several that ask at once one installs and the others wait.

    Raises:
        BrokerNotFound: it could not be installed.
    """
    with file_lock(settings.home / "install.lock", timeout_s=_INSTALL_TIMEOUT_S):
        if find_package() is not None:
            return
        install(progress or quiet)
        if find_package() is None:
            raise BrokerNotFound("rabbitmq-server was installed but is not where it should be: set LAB_AMQP_URL")


def _of_node(node: Node) -> Broker:
    return Broker(node.amqp_url, node.management_url, "node", node.version)


def _of_compose() -> Broker:
    with Management(compose.MANAGEMENT_URL) as management:
        version = management.wait_until_ready().version
    return Broker(compose.AMQP_URL, compose.MANAGEMENT_URL, "compose", version)


def _configured(settings: Settings, amqp_url: str) -> Broker:
    try:
        check(amqp_url)
    except (BrokerUnavailable, BrokerRefused) as error:
        advice = "start that broker, correct LAB_AMQP_URL, or unset it to use a private node"
        raise type(error)(f"LAB_AMQP_URL={redacted(amqp_url)}: {error}; {advice}") from error
    management_url = settings.management_url or _usual_management_url(amqp_url)
    return Broker(amqp_url, management_url, "url", _version(management_url))


def _usual_management_url(amqp_url: str) -> str:
    """The same host and credentials on the port that the management plugin has by default."""
    parts = urlsplit(amqp_url)
    scheme, port = ("https", 15671) if parts.scheme == "amqps" else ("http", 15672)
    credentials, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{scheme}://{credentials}{at}{host}:{port}"


def _version(management_url: str) -> str | None:
    """Messaging works without the management plugin, so its absence is no error here."""
    try:
        with Management(management_url, timeout_s=5) as management:
            return management.overview().version
    except BrokerError:
        return None
