"""A virtual host of one's own: there in one call, gone afterwards, and never anyone else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from labs.broker import Broker, Management, VirtualHost, sweep, virtual_host
from labs.errors import BrokerRefused
from labs.settings import Settings

OWNER = """
import sys
from labs.broker import virtual_host
from labs.settings import load_settings
vhost = virtual_host("owner", settings=load_settings())
print(vhost.name, flush=True)
sys.stdin.readline()
"""


def owner() -> subprocess.Popen[str]:
    """A process that has a virtual host, says its name, and ends when its input does."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def name_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_it_is_there_in_one_call_and_gone_afterwards(broker: Broker, settings: Settings) -> None:
    with Management(broker.management_url) as management:
        with virtual_host("Fresh Start!", settings=settings) as vhost:
            assert vhost.name.startswith("fresh-start-")
            assert vhost.name in management.virtual_hosts()
            assert vhost.queues() == []
            assert vhost.exchanges() == []
            assert vhost.bindings() == []
        assert vhost.name not in management.virtual_hosts()
        vhost.close()  # once more does no harm
        with pytest.raises(BrokerRefused):
            vhost.depth("anything")


def test_two_with_one_label_are_two(vhost: VirtualHost, settings: Settings) -> None:
    with virtual_host("test", settings=settings) as other:
        assert other.name != vhost.name


def test_it_is_gone_when_its_process_ends_without_closing_it(vhost: VirtualHost) -> None:
    process = owner()
    name = name_of(process)
    assert name in vhost.management.virtual_hosts()
    process.communicate("")
    assert name not in vhost.management.virtual_hosts()


def test_that_of_a_killed_process_goes_with_the_next_call_and_no_other(
    broker: Broker, settings: Settings, vhost: VirtualHost
) -> None:
    # Given one whose owner is killed, one whose owner lives, and one that somebody made by hand
    dead, alive = owner(), owner()
    dead_name, alive_name = name_of(dead), name_of(alive)
    by_hand = f"owner-by-hand-{os.getpid()}"
    vhost.management.create_virtual_host(by_hand)
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    assert dead_name in vhost.management.virtual_hosts()
    # When somebody asks for a virtual host
    virtual_host("next", settings=settings).close()
    # Then only the orphan is gone.
    names = vhost.management.virtual_hosts()
    assert dead_name not in names
    assert {alive_name, by_hand, vhost.name} <= set(names)
    vhost.management.delete_virtual_host(by_hand)
    alive.communicate("")


def test_a_sweep_leaves_what_was_made_on_another_broker(broker: Broker, settings: Settings) -> None:
    folder = settings.home / "virtual_hosts"
    elsewhere = folder / f"elsewhere-{os.getpid()}"
    elsewhere.write_text("http://broker.example:15672")
    try:
        with Management(broker.management_url) as management:
            assert sweep(management, settings=settings) == []
        assert elsewhere.exists()
    finally:
        elsewhere.unlink()
