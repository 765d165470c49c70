"""Faults of the broker: it dies, stops, runs out of memory or disk, cuts connections, or loses queues and messages."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pika
from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import depth
from labs.broker.alarms import out_of_memory
from labs.broker.erlang import speaks_amqp
from labs.errors import BrokerError, BrokerUnavailable
from labs.trial.faults.fault import ONE_NODE, Fault
from labs.trial.site import Site, TrialFailed

_DISK_LIMIT = "50MB"


@contextmanager
def broker_restart(site: Site) -> Iterator[str]:
    """SIGKILL to the broker, and a start on the same data."""
    site.node.settle()
    pid = site.node.pid
    site.node.kill()
    try:
        yield site.seen(lambda: site.node.pid is None, f"the broker's process {pid} is gone")
    finally:
        site.node.start()


@contextmanager
def broker_stop_app(site: Site) -> Iterator[str]:
    """`rabbitmqctl stop_app`, and `start_app`: the node is up, RabbitMQ in it is not."""
    port = int(site.node.amqp_url.rpartition(":")[2].partition("/")[0])
    # A busy machine may need longer than we wait for the command, which goes on: what counts is what is seen.
    with suppress(BrokerUnavailable):
        site.node.control("stop_app")
    try:
        yield site.seen(
            lambda: site.node.pid is not None and not speaks_amqp(port), f"nobody speaks AMQP on port {port}"
        )
    finally:
        with suppress(BrokerUnavailable):
            site.node.control("start_app")
        site.seen(site.node.is_running, "the broker answers")


@contextmanager
def memory_alarm(site: Site) -> Iterator[str]:
    """The broker believes that it has no memory left, and reads no more from whoever publishes."""
    try:
        with out_of_memory(site.node):
            yield site.seen(lambda: _alarms(site)[0], "the management API shows a memory alarm")
    finally:
        site.seen(lambda: not _alarms(site)[0], "the memory alarm is over")


@contextmanager
def disk_alarm(site: Site) -> Iterator[str]:
    """The broker believes that it has no disk left, with the same consequence."""
    site.node.control("set_disk_free_limit", "900000GB")
    try:
        yield site.seen(lambda: _alarms(site)[1], "the management API shows a disk alarm")
    finally:
        site.node.control("set_disk_free_limit", _DISK_LIMIT)
        site.seen(lambda: not _alarms(site)[1], "the disk alarm is over")


def _alarms(site: Site) -> tuple[bool, bool]:
    """Whether a node has an alarm of memory, and one of disk: either holds back who publishes to any node."""
    with site.management() as management:
        nodes = management.nodes()
    return any(node.mem_alarm for node in nodes), any(node.disk_free_alarm for node in nodes)


@contextmanager
def connections_closed(site: Site) -> Iterator[str]:
    """All connections of the system are closed by an operator."""
    yield close_connections(site)


def close_connections(site: Site) -> str:
    """Close all connections of the system; returns what was seen of it."""
    names = _connections(site)
    with site.management() as management:
        for name in names:
            with suppress(BrokerError):  # it may just have gone by itself
                management.close_connection(name)
    if not names:
        raise TrialFailed("the system has no connections that could be closed")
    return site.seen(
        lambda: not names & _connections(site), f"{len(names)} connections are gone from the management API"
    )


def _connections(site: Site) -> set[str]:
    with site.management() as management:
        return {connection.name for connection in management.connections(site.vhost)}


@contextmanager
def queue_deleted(site: Site) -> Iterator[str]:
    """The first work queue is deleted with messages in it; nobody is there to declare it again at once."""
    with frozen_workers(site), _operator(site) as channel:
        _wait_for_messages(site)
        lost = channel.queue_delete(site.queue).method.message_count
        yield _proof(f"the broker has deleted {site.queue}", lost)


@contextmanager
def queue_purged(site: Site) -> Iterator[str]:
    """The first work queue is emptied."""
    with frozen_workers(site), _operator(site) as channel:
        _wait_for_messages(site)
        lost = channel.queue_purge(site.queue).method.message_count
        yield _proof(f"the broker has emptied {site.queue}", lost)


def _proof(text: str, lost: int) -> str:
    # It is the broker's own answer that counts: by the next look, others may be there.
    if not lost:
        raise TrialFailed(f"{text}, and nothing was in it")
    return f"{text}: {lost} messages were in it"


@contextmanager
def _operator(site: Site) -> Iterator[BlockingChannel]:
    """A connection of an operator, past the network that is on trial."""
    with pika.BlockingConnection(pika.URLParameters(site.direct_url)) as connection:
        yield connection.channel()


@contextmanager
def frozen_workers(site: Site) -> Iterator[None]:
    """While the workers take nothing, messages stay in the queue; if it lasts, heartbeats are missed."""
    frozen = site.workers()
    for worker in frozen:
        worker.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in frozen:
            worker.signal(signal.SIGCONT)


def _wait_for_messages(site: Site) -> None:
    """More than the frozen workers' prefetch takes to fill: wait until messages are ready."""
    site.seen(lambda: _messages(site) > 0, f"{site.queue} has messages")


def _messages(site: Site) -> int:
    try:
        return depth(site.direct_url, site.queue).messages
    except BrokerError:
        return 0


@contextmanager
def permission_revoked(site: Site) -> Iterator[str]:
    """The system's user may do nothing any more in its virtual host; its connections are closed, so that it notices."""
    before = _refusals(site)
    with site.management() as management:
        user = management.user
        management.set_permissions(site.vhost, user, configure="^$", write="^$", read="^$")
    try:
        close_connections(site)
        yield site.seen(lambda: _refusals(site) > before, "the broker's log says that access was refused")
    finally:
        with site.management() as management:
            management.set_permissions(site.vhost, user)


def _refusals(site: Site) -> int:
    return site.node.read_log().count("access_refused")


BROKER_FAULTS = (
    Fault(
        name="broker-restart",
        begins="SIGKILL to the broker",
        heals="it is started on the same data",
        inject=broker_restart,
        targets=ONE_NODE,
    ),
    Fault(
        name="broker-stop-app",
        begins="rabbitmqctl stop_app",
        heals="rabbitmqctl start_app",
        inject=broker_stop_app,
        targets=ONE_NODE,
    ),
    Fault(
        name="memory-alarm",
        begins="the memory limit is set to 1 MB",
        heals="the limit is set back",
        inject=memory_alarm,
        hold_s=2.0,
    ),
    Fault(
        name="disk-alarm",
        begins="the limit of free disk is set to 900,000 GB",
        heals="the limit is set back",
        inject=disk_alarm,
        hold_s=2.0,
    ),
    Fault(
        name="connections-closed",
        begins="an operator closes all connections",
        heals="the system connects again",
        inject=connections_closed,
    ),
    Fault(
        name="queue-deleted",
        begins="the work queue is deleted with messages in it",
        heals="the system declares it again, and publishes again what was in it",
        inject=queue_deleted,
    ),
    Fault(
        name="queue-purged",
        begins="the work queue is emptied",
        heals="the system publishes again what was in it",
        inject=queue_purged,
    ),
    Fault(
        name="permission-revoked",
        begins="the user may do nothing any more, and its connections are closed",
        heals="an operator gives the permissions back",
        inject=permission_revoked,
        hold_s=1.0,
    ),
)
