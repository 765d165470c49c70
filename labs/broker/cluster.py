"""Three private nodes that are one cluster: a queue with a member on each survives the loss of any one of them."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from labs.broker import erlang
from labs.broker.balancer import Balancer
from labs.broker.management import Management
from labs.broker.node import CONTROL_TIMEOUT_S, Node
from labs.broker.node_files import PASSWORD, USER, Shared
from labs.errors import BrokerError, BrokerUnavailable
from labs.processes import Progress, free_ports, port_is_free, quiet, wait_until

SIZE = 3
_JOINED_TIMEOUT_S = 60.0


class Cluster:
    """The cluster that lives in `home`, with a load balancer before it, which lives as long as this object.

    Its parts that a `Node` has too mean all of it, or any node that is alive.
    """

    def __init__(self, home: Path) -> None:
        self.home = Path(home).absolute()
        self._shared = self._common()
        self.nodes = [Node(self.home / f"node-{number}", shared=self._shared) for number in range(1, SIZE + 1)]
        self._balancer: Balancer | None = None

    @property
    def amqp_url(self) -> str:
        """Of the balancer, virtual host `/`."""
        if self._balancer is None:
            raise BrokerUnavailable(f"the cluster of {self.home} was not started")
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self._balancer.port}/%2F"

    @property
    def management_url(self) -> str:
        """Of a node that is alive."""
        return self._living().management_url

    @property
    def version(self) -> str | None:
        """RabbitMQ's version as of the last start."""
        return self.nodes[0].version

    @property
    def pid(self) -> int | None:
        """The Erlang process of a node that is alive; None if none is."""
        return next((node.pid for node in self.nodes if node.pid is not None), None)

    def read_log(self) -> str:
        """What all nodes have written, one after the other."""
        return "".join(node.read_log() for node in self.nodes)

    def named(self, name: str) -> Node:
        """The node with this Erlang name.

        Raises:
            BrokerUnavailable: none is called so.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise BrokerUnavailable(f"no node of the cluster in {self.home} is called {name!r}")

    def is_running(self) -> bool:
        """Whether all nodes run, answer and know of each other."""
        return all(node.is_running() and _sees(node) == SIZE for node in self.nodes)

    def start(self, progress: Progress = quiet) -> None:
        """Start what doesn't run, and join what hasn't; returns when all nodes know of each other.

        Raises:
            BrokerNotFound: no RabbitMQ is installed.
            BrokerUnavailable: a node didn't come up, or didn't join.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        # All at once: one that was not the last to go waits for the others.
        with ThreadPoolExecutor(SIZE) as pool:
            list(pool.map(lambda node: node.start(progress), self.nodes))
        first, *others = self.nodes
        for node in others:
            if first.name not in _known(node):
                progress(f"{node.name} joins the cluster of {first.name}")
                # Joining forgets what the node had; on a busy machine each of these takes long.
                for command in (("stop_app",), ("join_cluster", first.name), ("start_app",)):
                    node.control(*command, timeout_s=4 * CONTROL_TIMEOUT_S)
        if not wait_until(self.is_running, timeout_s=_JOINED_TIMEOUT_S):
            raise BrokerUnavailable(f"the nodes of {self.home} are not one cluster: read their logs, or delete it")
        if self._balancer is None:
            self._balancer = Balancer(lambda: [_port(node) for node in self.nodes])
            self._balancer.start()

    def stop(self) -> None:
        """Stop all nodes cleanly, the port mapper and the balancer. No error if they don't run."""
        if self._balancer is not None:
            self._balancer.stop()
            self._balancer = None
        with ThreadPoolExecutor(SIZE) as pool:
            list(pool.map(Node.stop, self.nodes))
        erlang.end_port_mapper(self._shared.epmd)

    def kill(self) -> None:
        """SIGKILL to all nodes."""
        for node in self.nodes:
            node.kill()

    def settle(self) -> None:
        """As `Node.settle`, on every node that is alive."""
        alive = [node for node in self.nodes if node.pid is not None]
        with ThreadPoolExecutor(SIZE) as pool:
            list(pool.map(Node.settle, alive))

    def control(self, *arguments: str, timeout_s: float = CONTROL_TIMEOUT_S) -> str:
        """As `Node.control`, on a node that is alive."""
        return self._living().control(*arguments, timeout_s=timeout_s)

    def _living(self) -> Node:
        for node in self.nodes:
            if node.pid is not None:
                return node
        raise BrokerUnavailable(f"no node of the cluster in {self.home} is alive")

    def _common(self) -> Shared:
        """The cookie and the port mapper's port, the same after each start while that port is free or ours."""
        path = self.home / "cluster.json"
        try:
            known = Shared.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            known = None
        if known and (port_is_free(known.epmd) or erlang.port_mappers(known.epmd)):
            return known
        [epmd] = free_ports(1, seed=f"port mapper of {self.home}")
        shared = Shared(cookie=known.cookie if known else secrets.token_hex(20), epmd=epmd)
        self.home.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(shared.model_dump_json())
        return shared


def _port(node: Node) -> int:
    return urlsplit(node.amqp_url).port or 0


def _known(node: Node) -> set[str]:
    """The names of all nodes that a node belongs with, running or not."""
    with Management(node.management_url) as management:
        return {each.name for each in management.nodes()}


def _sees(node: Node) -> int:
    """How many nodes a node sees running."""
    try:
        with Management(node.management_url, timeout_s=3) as management:
            return sum(each.running for each in management.nodes())
    except BrokerError:
        return 0
