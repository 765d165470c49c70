"""Getting a RabbitMQ, asking it, and having a virtual host of one's own on it."""

from labs.broker.cluster import Cluster
from labs.broker.compose import Compose
from labs.broker.depth import Depth, check, depth, depths, redacted
from labs.broker.install import install
from labs.broker.management import Management
from labs.broker.management_types import (
    Binding,
    Channel,
    ClusterNode,
    Connection,
    Consumer,
    Exchange,
    MessageStats,
    Overview,
    Queue,
    ReceivedMessage,
)
from labs.broker.node import Node
from labs.broker.package import find_package
from labs.broker.resolve import Broker, find, install_package, private_node, resolve
from labs.broker.virtual_host import VirtualHost, sweep, virtual_host

__all__ = [
    "Binding",
    "Broker",
    "Channel",
    "Cluster",
    "ClusterNode",
    "Compose",
    "Connection",
    "Consumer",
    "Depth",
    "Exchange",
    "Management",
    "MessageStats",
    "Node",
    "Overview",
    "Queue",
    "ReceivedMessage",
    "VirtualHost",
    "check",
    "depth",
    "depths",
    "find",
    "find_package",
    "install",
    "install_package",
    "private_node",
    "redacted",
    "resolve",
    "sweep",
    "virtual_host",
]
