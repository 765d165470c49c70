"""A virtual host of one's own: there in one call, gone afterwards, and never anyone else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labs.broker import Broker, Management, VirtualHost, sweep, virtual_host
from labs.errors import BrokerRefused
from labs.settings import Settings, load_settings

OWNER = """
import sys
from labs.broker import virtual_host
from labs.settings import load_settings
vhost = virtual_host("owner", settings=load_settings())
print(vhost.name, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def apart(broker: Broker, tmp_path: Path) -> Settings:
    """The same broker for a checkout of its own: tests beside this one sweep too, but never here."""
    return load_settings(home=tmp_path, amqp_url=broker.amqp_url, management_url=broker.management_url)


def owner(settings: Settings) -> subprocess.Popen[str]:
    """A process that has a virtual host, says its name, and ends when its input does."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LAB_HOME": str(settings.home),
            "LAB_AMQP_URL": settings.amqp_url or "",
            "LAB_MANAGEMENT_URL": settings.management_url or "",
        },
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


def test_it_is_gone_when_its_process_ends_without_closing_it(vhost: VirtualHost, apart: Settings) -> None:
    process = owner(apart)
    name = name_of(process)
    assert name in vhost.management.virtual_hosts()
    process.communicate("")
    assert name not in vhost.management.virtual_hosts()


def test_that_of_a_killed_process_goes_with_the_next_call_and_no_other(vhost: VirtualHost, apart: Settings) -> None:
    # Given one whose owner is killed, one whose owner lives, and one that somebody made by hand
    dead, alive = owner(apart), owner(apart)
    dead_name, alive_name = name_of(dead), name_of(alive)
    by_hand = f"owner-by-hand-{os.getpid()}"
    vhost.management.create_virtual_host(by_hand)
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    assert dead_name in vhost.management.virtual_hosts()
    # When somebody asks for a virtual host
    virtual_host("next", settings=apart).close()
    # Then only the orphan is gone.
    names = vhost.management.virtual_hosts()
    assert dead_name not in names
    assert {alive_name, by_hand, vhost.name} <= set(names)
    vhost.management.delete_virtual_host(by_hand)
    alive.communicate("")


def test_a_sweep_leaves_what_was_made_on_another_broker(broker: Broker, apart: Settings) -> None:
    elsewhere = apart.home / "virtual_hosts" / "elsewhere"
    elsewhere.parent.mkdir()
    elsewhere.write_text("http://broker.example:15672")
    with Management(broker.management_url) as management:
        assert sweep(management, settings=apart) == []
    assert elsewhere.exists()
