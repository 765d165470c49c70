"""Faults of the broker's limits: a full queue refuses what is published; who acks too late loses his channel."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from labs.llm.dials import Constant
from labs.processes import wait_until
from labs.trial.faults.broker import close_connections, frozen_workers
from labs.trial.faults.fault import ALONE, Fault, with_jobs
from labs.trial.site import MODEL, Site, TrialFailed

_POLICY = "full"
#: More than that and the broker refuses; fewer can't be had.
_MOST = 1
#: What a worker that doesn't stir is given; and a handler, whose usual time is well below, and a hanging model's above.
_FROZEN_TIMEOUT_MS, _HANGING_TIMEOUT_MS = 3000, 1000
_HANGING_MS = 1800.0
#: On a busy machine Erlang alone takes long to start; a limit that was not set back would spoil the rest.
_PATIENCE_S = 180.0
_HEARTBEATS_MISSED_S, _TRIES = 12.0, 6
#: The broker's defaults.
_DEFAULT_TIMEOUT_MS, _DEFAULT_TICK_MS = 1_800_000, 60_000
_TIMED_OUT = re.compile(r"timed out waiting (?:on|for) (?:consumer|delivery) acknowledgement")


@contextmanager
def publish_nacked(site: Site) -> Iterator[str]:
    """The work queues are full, since nobody takes anything: the broker nacks what is published."""
    refused = "SELECT 1 FROM outbox WHERE last_error LIKE 'the broker refused%%'"
    names = "|".join(re.escape(name) for name in site.subject.queues)
    definition = {"max-length": _MOST, "overflow": "reject-publish"}
    with frozen_workers(site), site.management() as management:
        management.set_policy(site.vhost, _POLICY, pattern=f"^({names})$", definition=definition)
        try:
            yield site.seen(lambda: bool(site.rows(refused)), "the outbox says that the broker refused a message")
        finally:
            management.delete_policy(site.vhost, _POLICY)


@contextmanager
def consumer_timeout(site: Site) -> Iterator[str]:
    """A worker doesn't stir with messages in its hands until the broker has closed its channels for that."""
    with _impatient_broker(site, timeout_ms=_FROZEN_TIMEOUT_MS):
        before = _timed_out(site)
        for _ in range(_TRIES):
            site.seen(lambda: not site.consumers_missing(), "every queue has its consumers", timeout_s=_PATIENCE_S)
            frozen = site.workers()[0]
            frozen.signal(signal.SIGSTOP)
            try:
                if wait_until(lambda: _timed_out(site) > before, timeout_s=_HEARTBEATS_MISSED_S):
                    yield f"the broker's log says that acks of {frozen.name} came too late"
                    return
            finally:
                frozen.signal(signal.SIGCONT)
            # Nobody published while it was frozen: it had nothing in its hands before its heartbeats were missed.
        raise TrialFailed(f"not seen in {_TRIES} tries: the broker's log says that acks came too late")


@contextmanager
def handler_hangs(site: Site) -> Iterator[str]:
    """Handlers wait for the model until the broker has closed their channels, and go on then."""
    with _impatient_broker(site, timeout_ms=_HANGING_TIMEOUT_MS), site.stack.stub as stub:
        before = _timed_out(site)
        stub.set_dials(MODEL.model_copy(update={"latency": Constant(ms=_HANGING_MS)}))
        try:
            yield site.seen(lambda: _timed_out(site) > before, "the broker's log says that acks came too late")
        finally:
            stub.set_dials(MODEL)


@contextmanager
def _impatient_broker(site: Site, *, timeout_ms: int) -> Iterator[None]:
    """A short consumer timeout. A channel learns it when it is opened, so all are opened anew, twice."""
    try:
        _set_timeout(site, timeout_ms=timeout_ms, tick_ms=timeout_ms // 2)
        yield
    finally:
        _set_timeout(site, timeout_ms=_DEFAULT_TIMEOUT_MS, tick_ms=_DEFAULT_TICK_MS)


def _set_timeout(site: Site, *, timeout_ms: int, tick_ms: int) -> None:
    settings = {"consumer_timeout": timeout_ms, "channel_tick_interval": tick_ms}
    calls = ", ".join(f"application:set_env(rabbit, {name}, {value})" for name, value in settings.items())
    site.node.control("eval", f"{calls}.", timeout_s=_PATIENCE_S)
    close_connections(site)


def _timed_out(site: Site) -> int:
    return len(_TIMED_OUT.findall(site.node.read_log()))


LIMIT_FAULTS = (
    Fault(
        name="publish-nacked",
        begins="the work queues are full, and refuse what is published",
        heals="an operator takes the limit back",
        inject=publish_nacked,
        hold_s=1.0,
    ),
    Fault(
        name="consumer-timeout",
        begins=f"a worker holds messages for longer than the broker's consumer timeout, set to {_FROZEN_TIMEOUT_MS} ms",
        heals="it stirs again, and an operator sets the timeout back",
        inject=consumer_timeout,
        targets=ALONE,
    ),
    Fault(
        name="handler-hangs",
        begins=f"handlers take {_HANGING_MS:g} ms, the broker's consumer timeout is {_HANGING_TIMEOUT_MS} ms",
        heals="the model is fast again, and an operator sets the timeout back",
        inject=handler_hangs,
        hold_s=2.0,
        applies=with_jobs,
        targets=ALONE,
    ),
)
