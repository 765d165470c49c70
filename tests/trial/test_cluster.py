"""What only a cluster can meet truly happens to it and heals, and the system on it keeps its promises."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from labs.broker import Cluster, check
from labs.errors import BrokerError
from labs.processes import quiet, wait_until
from labs.trial import evidence
from labs.trial import operations as op
from labs.trial.checker import Verdict
from labs.trial.checker import check as checked
from labs.trial.faults import FAULTS
from labs.trial.load import Load
from labs.trial.runner import drain
from labs.trial.servers import Servers
from labs.trial.site import Site, clock_offset_ns
from tests.trial.conftest import breakable, letters_on_trial
from tests.trial.witnesses import healthy

pytestmark = [pytest.mark.faults, pytest.mark.long, pytest.mark.xdist_group("cluster")]


@pytest.fixture(scope="module")
def servers(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with breakable(Cluster(tmp_path_factory.mktemp("trial-cluster")), tmp_path_factory) as servers:
        yield servers


@pytest.fixture(scope="module")
def site(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with letters_on_trial(servers, tmp_path_factory) as site:
        yield site


@pytest.fixture(scope="module")
def load(site: Site) -> Iterator[Load]:
    with Load(site) as load:
        yield load


def cluster_of(site: Site) -> Cluster:
    assert isinstance(site.node, Cluster)
    return site.node


def answering(cluster: Cluster) -> list[str]:
    """The nodes that let somebody in."""
    found = []
    for node in cluster.nodes:
        try:
            check(node.amqp_url)
        except BrokerError:
            continue
        found.append(node.name)
    return found


def members_of(site: Site) -> list[str]:
    """Of the work queue, as Ra knows them: all, and the leader once more at the end."""
    said = cluster_of(site).control("eval", f"ra:members({{'{site.vhost}_{site.queue}', node()}}).")
    return re.findall(r"lab-\w+@localhost", said)


def another_leads(site: Site) -> Callable[[], object]:
    first = members_of(site)[-1]

    def look() -> bool:
        return first not in answering(cluster_of(site)) and members_of(site)[-1] != first

    return look


def nobody_confirms(site: Site) -> Callable[[], object]:
    def confirmed() -> int:
        return sum(event.operation == op.PUBLISH and event.kind == "ok" for event in list(site.history.events))

    def look() -> bool:
        before = confirmed()
        return not wait_until(lambda: confirmed() > before, timeout_s=2) and len(answering(cluster_of(site))) == 1

    return look


WITNESSES = {"leader-kill": another_leads, "majority-lost": nobody_confirms}


def test_a_queue_has_a_member_on_each_node(site: Site) -> None:
    *members, leader = members_of(site)
    assert len(members) == len(set(members)) == 3
    assert leader in members


@pytest.mark.parametrize("name", WITNESSES)
def test_a_fault_happens_and_heals(site: Site, load: Load, name: str) -> None:
    look = WITNESSES[name](site)
    site.history.add("nemesis", "invoke", op.FAULT, value=name)
    with FAULTS[name].inject(site) as proof:
        assert proof
        site.history.add("nemesis", "info", op.FAULT, value=name, error=proof)
        assert wait_until(lambda: bool(look()), timeout_s=60, every_s=0.2)
    site.history.add("nemesis", "ok", op.FAULT, value=name)
    assert wait_until(lambda: healthy(site), timeout_s=60, every_s=0.2)
    assert len(answering(cluster_of(site))) == 3
    accepted = load.accepted
    assert wait_until(lambda: load.accepted > accepted, timeout_s=60)


def test_after_both_every_promise_is_kept(site: Site, load: Load) -> None:
    promises = site.promises()
    load.stop()
    load.join()
    drain(site, quiet)
    evidence.write_down(site, site.history, offset_ns=clock_offset_ns())
    result = checked(site.history.events, promises)
    assert result.verdict == Verdict.VALID, "\n".join([result.why, *result.story])
