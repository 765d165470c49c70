"""A private node withstands what machines, users and crashes do to it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from labs import processes
from labs.broker import Management, depth
from labs.broker.node import Node
from labs.broker.package import Package
from labs.errors import BrokerRefused, BrokerUnavailable
from tests.broker.node_support import Crashed, leaves_nothing, processes_of, publish_durably, start_in_process

# One node for all of these, not one for each test process.
pytestmark = pytest.mark.xdist_group("node")


def test_two_processes_that_start_it_at_once_get_one_node(crashed: Crashed) -> None:
    assert crashed.statuses == (0, 0), crashed.outputs
    # Only the one that came first said that it starts it.
    assert sum("Starting RabbitMQ" in output for output in crashed.outputs) == 1


def test_a_killed_node_comes_back_on_its_ports_with_its_messages(crashed: Crashed) -> None:
    assert crashed.node.amqp_url == crashed.first_amqp_url
    # A quorum queue says 0 until it has elected its leader.
    assert processes.wait_until(lambda: depth(crashed.first_amqp_url, "durable").messages == 1, timeout_s=60)


def test_a_pid_that_now_belongs_to_a_stranger_is_not_mistaken_for_the_node(crashed: Crashed) -> None:
    assert crashed.node.pid not in {None, crashed.first_pid, crashed.stranger_pid}
    assert psutil.pid_exists(crashed.stranger_pid)


def test_a_cookie_that_others_could_read_is_closed_again(crashed: Crashed) -> None:
    assert (crashed.node.home / ".erlang.cookie").stat().st_mode & 0o777 == 0o400


def test_it_says_what_it_does_and_starting_it_again_does_nothing(crashed: Crashed) -> None:
    assert len(crashed.progress) == 1
    assert crashed.progress[0].startswith("Starting RabbitMQ")
    said: list[str] = []
    before = crashed.node.pid
    crashed.node.start(said.append)
    assert (crashed.node.pid, said) == (before, [])


def test_it_listens_on_loopback_only(crashed: Crashed) -> None:
    addresses = [
        connection.laddr.ip
        for process in processes_of(crashed.node.home)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    # AMQP, management, distribution and the port mapper.
    assert len(addresses) >= 4
    assert set(addresses) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_its_user_is_administrator_and_guest_does_not_exist(crashed: Crashed, management: Management) -> None:
    assert management.user == "careerops"
    management.create_user("someone", "else")  # only an administrator may
    management.delete_user("someone")
    guest = crashed.node.management_url.replace("careerops:careerops", "guest:guest")
    with Management(guest) as stranger, pytest.raises(BrokerRefused):
        stranger.overview()


def test_nothing_of_the_users_environment_reaches_it(crashed: Crashed, management: Management) -> None:
    # Given that its starters had RABBITMQ_NODENAME, ERL_FLAGS and others set to nonsense (see conftest)
    assert management.overview().node == crashed.node.name
    assert crashed.node.name.endswith("@localhost")


def test_it_sleeps_when_it_has_nothing_to_do(crashed: Crashed) -> None:
    process = psutil.Process(crashed.node.pid)

    # Just after its start it still compiles and settles; busy waiting would never end.
    def is_idle() -> bool:
        return bool(process.cpu_percent(interval=0.5) < 15)

    assert processes.wait_until(is_idle, timeout_s=90)
    assert process.memory_info().rss < 300 * 2**20


def test_it_survives_ctrl_c_in_the_terminal_of_its_starter(crashed: Crashed) -> None:
    pid = crashed.node.pid
    assert pid is not None
    # Ctrl-C goes to the terminal's foreground group; the node is in a session without a terminal.
    assert os.getsid(pid) != os.getsid(0)
    assert psutil.Process(pid).terminal() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user; without root all tests show it")
def test_it_runs_for_an_ordinary_user_beside_the_node_of_another_checkout(crashed: Crashed, tmp_path: Path) -> None:
    # Given a folder of the user nobody, where root's own node runs already
    home = Path("/tmp") / f"nobody-{os.getpid()}" / "broker"
    home.parent.mkdir(mode=0o700)
    os.chown(home.parent, 65534, 65534)
    try:
        # When nobody starts a node and stops it
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_start_and_stop_as, args=(65534, home, sender))
        child.start()
        child.join(timeout=240)
        # Then both ran, with ports and names of their own, and it leaves no process.
        uid, name, url = receiver.recv()
        assert (child.exitcode, uid) == (0, 65534)
        assert name != crashed.node.name
        assert url != crashed.node.amqp_url
        assert crashed.node.is_running()
        assert leaves_nothing(home)
    finally:
        shutil.rmtree(home.parent)


def _start_and_stop_as(user: int, home: Path, sender: object) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    node = Node(home)
    node.start()
    assert node.pid is not None
    sender.send((psutil.Process(node.pid).uids().real, node.name, node.amqp_url))  # type: ignore[attr-defined]
    node.stop()


def test_a_half_started_node_is_adopted(installed: None, tmp_path: Path) -> None:
    node = Node(tmp_path / "broker")
    try:
        # Given a starter that is killed while its node comes up
        starter = start_in_process(node.home)
        assert processes.wait_until(lambda: node.pid is not None, timeout_s=60, every_s=0.01)
        starter.kill()
        starter.communicate()
        orphan = node.pid
        assert not node.is_running()
        # When the next one starts it
        said: list[str] = []
        node.start(said.append)
        # Then it waited for the orphan instead of starting a second one.
        assert (node.pid, said) == (orphan, [])
        _stopping_leaves_nothing(node)
        _a_taken_port_is_replaced(node)
    finally:
        node.stop()


def _stopping_leaves_nothing(node: Node) -> None:
    publish_durably(node.amqp_url)
    assert len(processes_of(node.home)) >= 2  # the node and its port mapper
    node.stop()
    assert leaves_nothing(node.home)
    assert not node.is_running()
    node.stop()  # once more does no harm


def test_a_port_that_is_taken_after_the_look_is_left_to_who_took_it(
    installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, free_ports = Node(tmp_path / "node"), processes.free_ports
    with socket.create_server(("127.0.0.1", 0)) as other:
        # Given a port that was free when its ports were chosen
        taken = int(other.getsockname()[1])

        def ports(count: int, *, seed: str) -> list[int]:
            found = free_ports(count, seed=seed)
            return found if ", try" in seed else [taken, *found]

        monkeypatch.setattr(processes, "free_ports", ports)
        # When it starts all the same, then it is with another one
        try:
            node.start()
            assert node.is_running()
            assert f":{taken}/" not in node.amqp_url
        finally:
            node.stop()


def _a_taken_port_is_replaced(node: Node) -> None:
    amqp_url, management_url = node.amqp_url, node.management_url
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", int(management_url.rpartition(":")[2])))
        thief.listen()
        said: list[str] = []
        node.start(said.append)
        # Only the taken port has changed, it is said, and the next object knows.
        assert node.amqp_url == amqp_url
        assert node.management_url != management_url
        assert "taken a port" in said[0]
        assert Node(node.home).is_running()
        # What was confirmed just before the stop is there.
        assert processes.wait_until(lambda: depth(amqp_url, "durable").messages == 1, timeout_s=60)


def test_a_node_that_can_not_start_says_why_at_once(tmp_path: Path) -> None:
    script = tmp_path / "rabbitmq-server"
    script.write_text("#!/bin/sh\necho the disk is made of cheese\nexit 1\n")
    script.chmod(0o755)
    node = Node(tmp_path / "broker", package=Package(script, "4.0.0"))
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="made of cheese") as caught:
        node.start()
    assert time.monotonic() - started < 45  # half of what a start may take
    assert "delete" in str(caught.value)  # what to do next
    assert not node.is_running()


def test_a_node_that_was_never_started_has_no_address_and_stops_in_peace(tmp_path: Path) -> None:
    node = Node(tmp_path / "broker")
    assert not node.is_running()
    node.stop()
    node.kill()
    with pytest.raises(BrokerUnavailable, match="no node was ever started"):
        _ = node.amqp_url


def test_a_node_that_hangs_does_not_count_as_running(crashed: Crashed) -> None:
    pid = crashed.node.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        assert not crashed.node.is_running()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert processes.wait_until(crashed.node.is_running, timeout_s=60)


def test_what_rabbitmqctl_refuses_is_an_error_that_says_why(crashed: Crashed) -> None:
    assert crashed.node.name in crashed.node.control("eval", "node().")
    with pytest.raises(BrokerUnavailable, match=r"rabbitmqctl delete_user: .* .nobody. does not exist"):
        crashed.node.control("delete_user", "nobody")
