"""Each fault truly happens, and is truly over afterwards; a system that meets all of them keeps its promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labs.processes import quiet, wait_until
from labs.trial import evidence
from labs.trial import operations as op
from labs.trial.checker import Verdict, check
from labs.trial.faults import FAULTS, Fault
from labs.trial.load import Load
from labs.trial.operations import Promises
from labs.trial.runner import drain, meet
from labs.trial.site import Site, TrialFailed, clock_offset_ns
from labs.trial.targets import NODE
from tests.trial.witnesses import WITNESSES, healthy

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("trial")]


@pytest.fixture(scope="module")
def promises(site: Site) -> Promises:
    return site.promises()


@pytest.fixture(scope="module")
def load(site: Site, promises: Promises) -> Iterator[Load]:
    with Load(site) as load:
        yield load


#: One of each sort; the others in the long form.
SHORT = {
    "worker-kill-before-ack",
    "worker-stop",
    "relay-kill",
    "broker-restart",
    "connections-closed",
    "queue-deleted",
    "network-reset-mid-publish",
    "serialization-failure",
    "database-connections-cut",
    "model-slow",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in SHORT else pytest.mark.long)
        for name, fault in FAULTS.items()
        if NODE in fault.targets
    ],
)
def test_a_fault_happens_and_heals(site: Site, load: Load, name: str) -> None:
    look = WITNESSES[name](site)
    begun = len(site.history.events)
    # Given a system under load, when it is broken, then others see it too
    fault = FAULTS[name]
    site.history.add("nemesis", "invoke", op.FAULT, value=name)
    with fault.inject(site) as proof:
        assert proof
        site.history.add("nemesis", "info", op.FAULT, value=name, error=proof)
        assert wait_until(lambda: bool(look()), timeout_s=60, every_s=0.2)
    site.history.add("nemesis", "ok", op.FAULT, value=name)
    # And afterwards it is whole, and goes on
    assert wait_until(lambda: healthy(site), timeout_s=60, every_s=0.2)
    accepted = load.accepted
    assert wait_until(lambda: load.accepted > accepted, timeout_s=60)
    assert len(site.history.events) > begun


def test_after_all_of_them_every_promise_is_kept(site: Site, load: Load, promises: Promises) -> None:
    load.stop()
    load.join()
    drain(site, quiet)
    evidence.write_down(site, site.history, offset_ns=clock_offset_ns())
    result = check(site.history.events, promises)
    assert result.verdict == Verdict.VALID, "\n".join([result.why, *result.story])
    assert result.counts["accepted"] == result.counts["submitted"] > 0


def test_a_fault_that_is_not_seen_is_an_error_and_not_a_success(site: Site) -> None:
    fault = Fault(name="nothing", begins="", heals="", inject=_nothing)
    with pytest.raises(TrialFailed, match="nothing to be seen"):
        meet(fault, site, quiet)
    assert site.history.events[-1].kind == "fail"


def _nothing(site: Site) -> None:
    raise TrialFailed("nothing to be seen")
