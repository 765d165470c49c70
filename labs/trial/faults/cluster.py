"""Faults that only a cluster can have: the leader of a queue dies, or most of its members do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import aio_pika
from aio_pika.abc import DeliveryMode

from labs.broker import Cluster, Node
from labs.errors import BrokerError
from labs.trial.faults.fault import CLUSTER_ONLY, Fault
from labs.trial.site import Site, TrialFailed

_PROBE = "probe-of-majority"
_UNCONFIRMED_S = 2.0


@contextmanager
def leader_kill(site: Site) -> Iterator[str]:
    """SIGKILL to the node that leads the work queue: another member is elected."""
    cluster = _cluster(site)
    leader = _leader(site)
    if leader is None:
        raise TrialFailed(f"{site.queue} has no leader that could be killed")
    victim = cluster.named(leader)
    victim.settle()
    pid = victim.pid
    victim.kill()
    try:
        site.seen(
            lambda: victim.pid is None and _leader(site) not in (None, leader), f"{site.queue} has another leader"
        )
        yield f"process {pid} of {leader} is gone, and {_leader(site)} leads {site.queue}"
    finally:
        _start_again(site, victim)


@contextmanager
def majority_lost(site: Site) -> Iterator[str]:
    """SIGKILL to two of three nodes: what is published is not confirmed until one is back."""
    cluster = _cluster(site)
    survivor, *victims = cluster.nodes
    _declare_probe(site)
    for victim in victims:
        victim.settle()
    for victim in victims:
        victim.kill()
    try:
        site.seen(lambda: all(victim.pid is None for victim in victims), "two of three nodes are gone")
        if asyncio.run(_confirmed(_url(survivor, site))):
            raise TrialFailed(f"{survivor.name} confirmed a message that no other node has")
        yield f"two of three nodes are gone, and {survivor.name} confirmed nothing for {_UNCONFIRMED_S:g} s"
    finally:
        _start_again(site, *victims)
        with site.management() as management:
            management.delete_queue(site.vhost, _PROBE)


def _cluster(site: Site) -> Cluster:
    if not isinstance(site.node, Cluster):
        raise TrialFailed("this fault needs a cluster: --on cluster")
    return site.node


def _start_again(site: Site, *nodes: Node) -> None:
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(Node.start, nodes))
    site.seen(site.node.is_running, "all nodes know of each other again")


def _leader(site: Site) -> str | None:
    """The node that leads the work queue, as a node tells that is alive."""
    try:
        with site.management() as management:
            return management.queue(site.vhost, site.queue).node
    except BrokerError:
        return None


def _url(node: Node, site: Site) -> str:
    return f"{node.amqp_url.rpartition('/')[0]}/{site.vhost}"


def _declare_probe(site: Site) -> None:
    async def declare() -> None:
        async with await aio_pika.connect(_url(_cluster(site).nodes[0], site), timeout=30) as connection:
            channel = await connection.channel()
            await channel.declare_queue(_PROBE, durable=True, arguments={"x-queue-type": "quorum"})

    asyncio.run(declare())


async def _confirmed(url: str) -> bool:
    """Whether a message to the probe is confirmed in time."""
    async with await aio_pika.connect(url, timeout=10) as connection:
        channel = await connection.channel(publisher_confirms=True)
        message = aio_pika.Message(b"", delivery_mode=DeliveryMode.PERSISTENT)
        try:
            await channel.default_exchange.publish(message, _PROBE, timeout=_UNCONFIRMED_S)
        except TimeoutError:
            return False
    return True


CLUSTER_FAULTS = (
    Fault(
        name="leader-kill",
        begins="SIGKILL to the node that leads the work queue",
        heals="another one leads it, and the node is started again",
        inject=leader_kill,
        targets=CLUSTER_ONLY,
        hold_s=2.0,
    ),
    Fault(
        name="majority-lost",
        begins="SIGKILL to two of three nodes",
        heals="both are started again",
        inject=majority_lost,
        targets=CLUSTER_ONLY,
        hold_s=2.0,
    ),
)
