"""The faults, each breaking one real part of the system and mending it again; nothing here is simulated.

What is mended is what a supervisor, an operator or the network would mend; everything else must heal by itself.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from labs.broker.alarms import out_of_memory
from labs.llm.dials import Constant, ErrorRates
from labs.notebook.experiments.drills.probes import WATCHER
from labs.notebook.experiments.drills.site import Site
from labs.systems.cover_letters.topology import GENERATE_QUEUE

#: How long the model takes when all is well, and when it is slow.
MODEL_MS = 150.0
_SLOW_MS = 800.0
#: For the dashboard to see a burst before anything breaks.
_SEEN_S = 0.15


@dataclass(frozen=True)
class Fault:
    """Something to break.

    Args:
        name: in a few words.
        label: in one.
        inject: breaks when entered, mends when left.
        instead: three things that look alike, from a distance.
        heals: what recovers without anybody's help.
        hold_s: seconds between the two.
    """

    name: str
    label: str
    inject: Callable[[Site], AbstractContextManager[None]]
    instead: tuple[str, str, str]
    heals: str
    hold_s: float


@contextmanager
def nothing(site: Site) -> Iterator[None]:
    """All is well; some users ask at the same moment."""
    site.begins()
    site.burst(10)
    yield


@contextmanager
def worker_killed(site: Site) -> Iterator[None]:
    """SIGKILL for a worker with a job in its hands; a supervisor starts it again."""
    victim = site.busy_worker()
    site.begins()
    victim.kill()
    yield
    site.lab.stack.launch("worker", name=victim.name)


@contextmanager
def worker_frozen(site: Site) -> Iterator[None]:
    """SIGSTOP for a worker, for longer than its lease: alive for the broker, dead for everybody else."""
    victim = site.busy_worker()
    site.begins()
    victim.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        victim.signal(signal.SIGCONT)


@contextmanager
def relay_killed(site: Site) -> Iterator[None]:
    """SIGKILL for the relay; a supervisor starts it again."""
    [relay] = site.lab.stack.of("relay")
    site.begins()
    relay.kill()
    yield
    site.lab.stack.launch("relay", name=relay.name)


@contextmanager
def relay_frozen(site: Site) -> Iterator[None]:
    """SIGSTOP for the relay: its connections stay open, and it does nothing."""
    [relay] = site.lab.stack.of("relay")
    site.begins()
    relay.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        relay.signal(signal.SIGCONT)


@contextmanager
def broker_killed(site: Site) -> Iterator[None]:
    """SIGKILL for the broker, then a start on the same data."""
    site.begins()
    site.lab.node.kill()
    yield
    site.lab.node.start()


@contextmanager
def database_killed(site: Site) -> Iterator[None]:
    """SIGKILL for the database server, then a start on the same data."""
    site.begins()
    site.lab.database_server.kill()
    yield
    site.lab.database_server.start()


@contextmanager
def connections_closed(site: Site) -> Iterator[None]:
    """Every connection of the system is cut at once, as by a firewall or a proxy that restarts."""
    management, vhost = site.lab.vhost.management, site.lab.vhost.name
    found = [connection for connection in management.connections(vhost) if connection.title != WATCHER]
    site.begins()
    for connection in found:
        management.close_connection(connection.name)
    yield


@contextmanager
def queue_deleted(site: Site) -> Iterator[None]:
    """Somebody deletes the work queue, with confirmed messages in it: those of a burst that takes a while."""
    with site.lab.model as model:
        model.set_dials(latency=Constant(ms=_SLOW_MS))
        site.burst(24)
        site.wait_for_ready(6)
        time.sleep(_SEEN_S)
        site.begins()
        site.lab.vhost.management.delete_queue(site.lab.vhost.name, GENERATE_QUEUE)
        model.set_dials(latency=Constant(ms=MODEL_MS))
    yield


@contextmanager
def model_failing(site: Site) -> Iterator[None]:
    """Every second call to the model is answered with a 500."""
    with site.lab.model as model:
        site.begins()
        model.set_dials(errors=ErrorRates(server_error=0.5))
        yield
        model.set_dials(errors=ErrorRates())


@contextmanager
def model_slow(site: Site) -> Iterator[None]:
    """Every call takes six times as long."""
    with site.lab.model as model:
        site.begins()
        model.set_dials(latency=Constant(ms=_SLOW_MS))
        yield
        model.set_dials(latency=Constant(ms=MODEL_MS))


@contextmanager
def memory_alarm(site: Site) -> Iterator[None]:
    """The broker believes that it has no memory left, and stops reading from whoever publishes."""
    with out_of_memory(site.lab.node):
        site.begins()
        yield
