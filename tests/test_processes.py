"""Locks, ports and processes: the parts of the machine that the private servers stand on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from labs import processes
from labs.processes import (
    end,
    file_lock,
    find,
    free_ports,
    in_background,
    port_is_free,
    search,
    spawn,
    tail,
    wait_until,
)

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]


def start(tmp_path: Path, *arguments: str) -> int:
    return spawn([*SLEEP, *arguments], environment={"A": "b"}, directory=tmp_path, log=tmp_path / "a log")


def test_a_spawned_process_is_nobodys_child_and_has_only_what_it_was_given(tmp_path: Path) -> None:
    pid = start(tmp_path)
    try:
        process = psutil.Process(pid)
        assert wait_until(lambda: process.environ().get("A") == "b", timeout_s=60)
        assert "HOME" not in process.environ()
        assert process.cwd() == str(tmp_path)
        assert process.ppid() != os.getpid()
        assert os.getsid(pid) != os.getsid(0)
    finally:
        end(pid, grace_s=30)
    assert not processes.is_alive(pid)


def test_output_goes_to_the_log_word_for_word(tmp_path: Path) -> None:
    log = tmp_path / 'o\'clock "log"'
    spawn(["/bin/echo", "it's $HOME;", "  two  "], environment={}, directory=tmp_path, log=log)
    assert wait_until(lambda: tail(log) == "it's $HOME;   two  ", timeout_s=60)


def test_a_process_is_found_by_its_marker_and_not_by_its_pid_alone(tmp_path: Path) -> None:
    pid = start(tmp_path, "marker-of-this-test")
    try:
        assert wait_until(lambda: find(pid, marker="marker-of-this-test") is not None, timeout_s=60)
        assert find(pid, marker="another") is None
        found = search(marker="marker-of-this-test")
        assert found is not None
        assert found.pid == pid
        assert 0 <= found.age_s < 60
    finally:
        end(pid, grace_s=30)
    assert find(pid, marker="marker-of-this-test") is None


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
    )
    log = tmp_path / "log"
    pid = spawn([sys.executable, "-c", deaf], environment={}, directory=tmp_path, log=log)
    assert wait_until(lambda: tail(log) == "deaf", timeout_s=60)
    with pytest.raises(TimeoutError):
        end(pid, grace_s=0.2, signals=[signal.SIGTERM])
    end(pid, grace_s=1.0)
    assert not processes.is_alive(pid)
    end(pid, grace_s=0.2)  # once more does no harm


@pytest.mark.parametrize("pid", [-1, 0, 1])
def test_nothing_that_is_not_one_process_of_ours_is_ever_ended(pid: int) -> None:
    # Signal 0 asks only whether a signal could be sent: were this guard gone, nobody would be hurt here.
    with pytest.raises(ValueError, match="refusing"):
        end(pid, grace_s=0, signals=[0])


def test_a_lock_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    code = f"""
import sys
from pathlib import Path
from labs.processes import file_lock
with file_lock(Path({str(path)!r}), timeout_s=1):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError, match="lock"), file_lock(path, timeout_s=0.1):
            pass
        holder.kill()
        with file_lock(path, timeout_s=60):
            pass


def test_ports_are_free_repeatable_and_out_of_the_range_of_outgoing_connections(tmp_path: Path) -> None:
    checkout = str(tmp_path)  # of nobody else, so that nobody takes its ports
    ports = free_ports(4, seed=checkout)
    assert ports == free_ports(4, seed=checkout)
    assert ports != free_ports(4, seed=f"another than {checkout}")
    assert all(1024 < port < 32768 for port in ports)
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", ports[0]))
        listener.listen()
        assert not port_is_free(ports[0])
        assert ports[0] not in free_ports(4, seed=checkout)
    assert port_is_free(ports[0])


def test_what_runs_in_the_background_ends_with_its_block() -> None:
    looks: list[int] = []

    def look(stop: threading.Event) -> None:
        while not stop.wait(0.01):
            looks.append(1)

    with in_background(look, name="looking"):
        assert wait_until(lambda: len(looks) > 2, timeout_s=30)
    assert "looking" not in {thread.name for thread in threading.enumerate()}
