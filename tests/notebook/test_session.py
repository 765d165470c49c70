"""A notebook's parts: its own while it runs, and gone afterwards, however it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from labs.broker import Broker, Management
from labs.errors import ConfigurationError
from labs.notebook import notebook, sweep
from labs.processes import is_alive, wait_until
from labs.settings import Settings

#: A kernel: it has everything that a notebook may have, says what, and waits to be killed.
KERNEL = """
import json, sys
from labs.notebook import notebook
lab = notebook("killed")
lab.start(workers=1)
(lab.folder / "a file").touch()
owned = [lab.vhost.name, lab.database_url, [child.pid for child in lab.stack.children], str(lab.folder)]
print(json.dumps(owned), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Kernel:
    """A process with a notebook's parts."""

    process: subprocess.Popen[str]
    vhost: str
    database_url: str
    pids: list[int]
    folder: str


@pytest.fixture
def kernel(broker: Broker, database_url: str) -> Iterator[Kernel]:
    with subprocess.Popen(
        [sys.executable, "-c", KERNEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        yield Kernel(process, *json.loads(process.stdout.readline()))
        process.kill()


def database_exists(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_killed_kernel_leaves_no_process_no_virtual_host_no_database_and_no_files(
    kernel: Kernel, broker: Broker
) -> None:
    # Given a kernel with a virtual host, a database and four processes
    with Management(broker.management_url) as management:
        assert kernel.vhost in management.virtual_hosts()
        assert database_exists(kernel.database_url)
        assert all(is_alive(pid) for pid in kernel.pids)
        assert len(kernel.pids) == 4
        assert Path(kernel.folder, "a file").exists()
        # When it is killed, and with it its whole process group, as Jupyter does
        os.killpg(kernel.process.pid, signal.SIGKILL)
        kernel.process.wait()
        # Then all of that is gone soon, though nobody asks for it.
        assert wait_until(lambda: kernel.vhost not in management.virtual_hosts(), timeout_s=60)
    assert wait_until(lambda: not database_exists(kernel.database_url), timeout_s=60)
    assert wait_until(lambda: not any(is_alive(pid) for pid in kernel.pids), timeout_s=60)
    assert wait_until(lambda: not Path(kernel.folder).exists(), timeout_s=60)


def test_a_sweep_leaves_the_living_alone(broker: Broker, settings: Settings) -> None:
    with_parts = notebook("alive", settings=settings)
    try:
        url = with_parts.database_url
        sweep(settings)
        assert database_exists(url)
        assert with_parts.vhost.queues() == []
    finally:
        with_parts.close()
    assert not database_exists(url)


def test_closing_removes_everything_and_may_be_repeated(broker: Broker, settings: Settings) -> None:
    lab = notebook("closed", settings=settings)
    url, name, folder = lab.database_url, lab.vhost.name, lab.folder
    lab.close()
    lab.close()
    assert not folder.exists()
    with Management(broker.management_url) as management:
        assert name not in management.virtual_hosts()
    assert not database_exists(url)
    # Others, whose kernels were killed just now, may be swept; this one has left nothing.
    assert url.rpartition("dbname=")[2].split()[0] not in sweep(settings)


def test_two_notebooks_have_nothing_in_common(broker: Broker, settings: Settings) -> None:
    one, other = notebook("same", settings=settings), notebook("same", settings=settings)
    try:
        assert one.vhost.name != other.vhost.name
        assert one.database_url != other.database_url
    finally:
        one.close()
        other.close()


def test_what_the_environment_says_of_other_processes_does_not_reach_its_own(
    broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the environment of the stack's JupyterLab, in which the stub is another container and metrics have a port
    monkeypatch.setenv("LAB_STUB_HOST", "192.0.2.1")
    monkeypatch.setenv("LAB_API_HOST", "192.0.2.1")
    monkeypatch.setenv("LAB_STUB_PORT", "8089")
    monkeypatch.setenv("LAB_METRICS_PORT", "9000")
    monkeypatch.setenv("LAB_RATE_LIMIT", "1/hour")
    lab = notebook("elsewhere", settings=settings)
    try:
        # Then all its processes start, two workers too, and follow the chapter's own settings.
        lab.start(workers=2)
        assert [lab.letters.post().status for _ in range(2)] == [202, 202]
    finally:
        lab.close()


#: A kernel with servers and a program of its own.
OWNER = """
import json, sys
from labs.notebook import notebook
from tests.notebook.test_session import wait_for_ever
lab = notebook("owner", own_broker=True, own_database=True)
lab.database_url
program = lab.program(wait_for_ever)
print(json.dumps([lab.node.pid, lab.database_server.pid, program.pid, str(lab.node.home.parent)]), flush=True)
sys.stdin.read()
"""


def wait_for_ever(url: str) -> None:
    signal.pause()


def test_a_killed_kernel_leaves_no_server_of_its_own(broker: Broker, settings: Settings) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as kernel:
        # Given a kernel with a broker, a database server and a program of its own
        assert kernel.stdout is not None
        *pids, folder = json.loads(kernel.stdout.readline())
        assert all(is_alive(pid) for pid in pids)
        # When it is killed
        os.killpg(kernel.pid, signal.SIGKILL)
        kernel.wait()
        # Then all of them end soon, and their files are gone.
        assert wait_until(lambda: not any(is_alive(pid) for pid in pids), timeout_s=60)
        assert wait_until(lambda: not Path(folder).exists(), timeout_s=60)


def test_a_notebook_may_kill_its_own_servers_and_no_others(broker: Broker, settings: Settings) -> None:
    lab = notebook("own", own_broker=True, own_database=True, settings=settings)
    try:
        assert lab.node.amqp_url != broker.amqp_url
        url = lab.database_url
        assert database_exists(url)
        lab.node.settle()  # its virtual host has to be on disk
        lab.node.kill()
        lab.database_server.kill()
        assert not database_exists(url)
        lab.node.start()
        lab.database_server.start()
        assert lab.vhost.queues() == []
        assert database_exists(url)
        lab.node.kill()
    finally:
        lab.close()
    assert not lab.node.home.exists()
    shared = notebook("shared", settings=settings)
    try:
        with pytest.raises(ConfigurationError, match="own_broker=True"):
            _ = shared.node
        with pytest.raises(ConfigurationError, match="own_database=True"):
            _ = shared.database_server
    finally:
        shared.close()
