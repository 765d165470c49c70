"""Faults of the system's own processes: killed at the worst moments, told to end, or frozen."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from labs.llm.dials import ErrorRates
from labs.stack.child import Child, ProcessFailed
from labs.trial import operations as op
from labs.trial.faults.fault import Fault, with_jobs, with_model
from labs.trial.site import MODEL, SETTINGS, Site, TrialFailed

#: For the load to bring a process to the place where it dies.
_DEATH_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 30.0


@contextmanager
def worker_kill(site: Site) -> Iterator[str]:
    """SIGKILL to a worker under load."""
    victim = site.workers()[0]
    victim.kill()
    yield _dead(victim)
    site.start_worker()


@contextmanager
def worker_kill_before_effect(site: Site) -> Iterator[str]:
    """One more worker, which is killed when it has claimed a job and done nothing."""
    yield _died(site.launch_worker(failpoints="job.claimed=kill@3"))


@contextmanager
def worker_kill_before_ack(site: Site) -> Iterator[str]:
    """One more worker, which is killed when it has committed an effect and not acked."""
    yield _died(site.launch_worker(failpoints=f"consumer.before_ack=kill@3~{site.queue}"))


@contextmanager
def worker_kill_before_retry_ack(site: Site) -> Iterator[str]:
    """One more worker, which is killed when its retry is confirmed and the original not acked."""
    with site.stack.stub as stub:
        stub.set_dials(MODEL.model_copy(update={"errors": ErrorRates(server_error=0.5)}))
        try:
            yield _died(site.launch_worker(failpoints=f"consumer.retry_confirmed=kill~{site.queue}"))
        finally:
            stub.set_dials(MODEL)


@contextmanager
def worker_sigterm(site: Site) -> Iterator[str]:
    """SIGTERM to a worker under load, which has its grace to end."""
    leaving = site.workers()[0]
    site.history.add(leaving.name, "invoke", op.TERMINATE)
    try:
        code = leaving.terminate(timeout_s=_END_TIMEOUT_S)
    except ProcessFailed as error:
        site.history.add(leaving.name, "fail", op.TERMINATE, error=str(error))
        yield str(error)
    else:
        if code:
            raise TrialFailed(f"{leaving.name} was told to end, and ended with exit code {code}: see {leaving.log}")
        site.history.add(leaving.name, "ok", op.TERMINATE)
        yield f"{leaving.name} ended with exit code {code}"
    site.start_worker()


@contextmanager
def worker_stop(site: Site) -> Iterator[str]:
    """SIGSTOP to a worker until the broker has missed its heartbeats, and longer than its lease."""
    frozen = site.workers()[0]
    missed = _missed_heartbeats(site)
    frozen.signal(signal.SIGSTOP)
    try:
        yield site.seen(
            lambda: _missed_heartbeats(site) > missed, f"the broker's log says that heartbeats of {frozen.name} missed"
        )
    finally:
        frozen.signal(signal.SIGCONT)


@contextmanager
def relay_kill(site: Site) -> Iterator[str]:
    """One more relay, which is killed when a batch is confirmed and not marked."""
    yield _died(site.stack.launch("relay", name=f"relay-{len(site.stack.children)}", failpoints="relay.confirmed=kill"))


@contextmanager
def relay_stop(site: Site) -> Iterator[str]:
    """A second relay, which stops with a batch that is confirmed and not marked, until its claims have run out."""
    frozen = site.stack.launch("relay", name=f"relay-{len(site.stack.children)}", failpoints="relay.confirmed=stop")
    process = psutil.Process(frozen.pid)
    try:
        yield site.seen(lambda: process.status() == psutil.STATUS_STOPPED, f"{frozen.name} is stopped with a batch")
    finally:
        frozen.signal(signal.SIGCONT)
    frozen.terminate(timeout_s=_END_TIMEOUT_S)


@contextmanager
def api_kill(site: Site) -> Iterator[str]:
    """SIGKILL to the API while clients wait for their answers."""
    victim = site.stack.of("api")[0]
    victim.kill()
    yield _dead(victim)
    site.stack.start_api()


def _died(child: Child) -> str:
    """Wait until a process has died of its failpoint."""
    code = child.wait(timeout_s=_DEATH_TIMEOUT_S)
    if code != -signal.SIGKILL:
        raise TrialFailed(f"{child.name} was to be killed by itself, and ended with exit code {code}: see {child.log}")
    return _dead(child)


def _dead(child: Child) -> str:
    if psutil.pid_exists(child.pid):
        raise TrialFailed(f"{child.name}, process {child.pid}, was killed and is still there")
    return f"{child.name}, process {child.pid}, is gone"


def _missed_heartbeats(site: Site) -> int:
    return len(re.findall("missed heartbeats from client", site.node.read_log()))


_LEASE_S = float(str(SETTINGS["lease_s"]))

PROCESS_FAULTS = (
    Fault(
        name="worker-kill",
        begins="SIGKILL to a worker under load",
        heals="a supervisor starts another one",
        inject=worker_kill,
    ),
    Fault(
        name="worker-kill-before-effect",
        begins="SIGKILL when a job is claimed and nothing is done",
        heals="the other workers run on",
        inject=worker_kill_before_effect,
        applies=with_jobs,
    ),
    Fault(
        name="worker-kill-before-ack",
        begins="SIGKILL between the commit of an effect and its ack",
        heals="the other workers run on",
        inject=worker_kill_before_ack,
    ),
    Fault(
        name="worker-kill-before-retry-ack",
        begins="SIGKILL between the confirm of a retry and the ack of the original",
        heals="the other workers run on",
        inject=worker_kill_before_retry_ack,
        applies=with_model,
    ),
    Fault(
        name="worker-sigterm",
        begins="SIGTERM to a worker under load",
        heals="a supervisor starts another one",
        inject=worker_sigterm,
    ),
    Fault(
        name="worker-stop",
        begins="SIGSTOP to a worker until the broker has missed its heartbeats",
        heals="SIGCONT",
        inject=worker_stop,
    ),
    Fault(
        name="relay-kill",
        begins="SIGKILL to a relay between confirm and mark",
        heals="the other relay runs on",
        inject=relay_kill,
    ),
    Fault(
        name="relay-stop",
        begins="SIGSTOP to one of two relays until its claims have run out",
        heals="SIGCONT",
        inject=relay_stop,
        hold_s=2 * _LEASE_S,
    ),
    Fault(
        name="api-kill",
        begins="SIGKILL to the API while clients wait",
        heals="a supervisor starts it again",
        inject=api_kill,
    ),
)
