"""The whole way of a new user: everything private, nothing there before, nothing left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from labs.processes import free_ports, wait_until
from labs.settings import ROOT


@pytest.fixture
def home(installed: None, tmp_path: Path) -> Iterator[Path]:
    """A folder with a space in its path for a whole private lab; `installed` has seen to RabbitMQ."""
    made = tmp_path / "a b" / "home"
    yield made
    if left_over(made):  # the test has failed already; the next ones need the machine
        subprocess.run(command("down"), env=environment(made), capture_output=True, timeout=60, check=False)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "labs", *arguments]


def environment(home: Path) -> dict[str, str]:
    """A user's environment: nothing is set but where the lab lives, and that taken ports are no matter."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "OPENAI_"))}
    return plain | {
        "LAB_HOME": str(home),
        "LAB_API_PORT": "0",
        "LAB_STUB_PORT": "0",
        "LAB_STUB_DIALS": '{"latency": {"kind": "constant", "ms": 2000}}',
        "OPENAI_API_KEY": "",
        "OPENAI_BASE_URL": "",
    }


def left_over(home: Path) -> list[str]:
    """Processes that have this folder in their environment, their command line or as their place of work."""
    found = []
    for process in psutil.process_iter():
        try:
            traces = [*process.environ().values(), *process.cmdline(), process.cwd()]
            if process.status() != psutil.STATUS_ZOMBIE and any(str(home) in trace for trace in traces):
                found.append(f"{process.pid} {process.name()}")
        except (psutil.Error, OSError):
            continue
    return found


def leaves_nothing(home: Path) -> bool:
    """Whether everything is gone: helpers of Erlang and Jupyter notice a moment later that they are alone."""
    return wait_until(lambda: left_over(home) == [], timeout_s=10)


def test_the_demo_shows_a_letter_and_all_of_its_way_and_leaves_nothing_behind(home: Path) -> None:
    done = subprocess.run(
        command("demo"), env=environment(home), capture_output=True, text=True, timeout=240, check=False
    )

    assert done.returncode == 0, done.stderr
    # Progress for people,
    for step in ("broker ready", "database ready", "stub is ready", "api is ready", "worker-1 is ready"):
        assert step in done.stderr
    # the 202 with its id, each status with its time, the letter,
    shown = done.stdout
    assert "202 Accepted" in shown
    assert '"status": "pending"' in shown
    followed = shown[shown.index("/events") : shown.index("Dear ")]
    assert followed.index(" s  processing") < followed.index(" s  completed")
    # and the way: row, outbox, exchange, queue, model call, result, events.
    way = shown[shown.index("the way of job") :]
    for place in ("outbox", "cover-letter.generate", "completed", "notifications.email", "analytics.process"):
        assert place in way, way
    assert leaves_nothing(home)


def test_an_interrupted_demo_leaves_nothing_behind(home: Path) -> None:
    # Given a demo whose broker is just being started,
    process = subprocess.Popen(
        command("demo"), env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert wait_until(lambda: any("beam" in process for process in left_over(home)), timeout_s=90)
    # when it is told to end,
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    # then it ends, and so does the broker.
    assert process.returncode != 0
    assert "Traceback" not in said
    assert leaves_nothing(home)


def test_ctrl_c_ends_jupyterlab_its_kernels_and_everything_else(home: Path) -> None:
    # Given the lab with JupyterLab and a kernel running in it,
    process = subprocess.Popen(
        command("lab", "--no-browser", "--port", str(free_ports(1, seed=str(home))[0])),
        env=environment(home) | {"JUPYTER_RUNTIME_DIR": str(home.parent / "jupyter"), "JUPYTER_TOKEN": "test"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        url = next(line.split()[-1] for line in process.stdout if "http://127.0.0.1:" in line and "/lab" in line)
        jupyter = httpx.Client(base_url=url.partition("/lab")[0], headers={"Authorization": "token test"}, timeout=60)
        assert wait_until(lambda: _answers(jupyter), timeout_s=90)
        # whose printed address shows the first chapter
        shown = url.partition("/lab/tree/")[2].partition("?")[0]
        assert jupyter.get(f"/api/contents/{shown}", params={"content": 0}).json()["name"] == "00_start.ipynb"
        kernel = jupyter.post("/api/kernels", json={"name": "python3"}).json()
        assert wait_until(lambda: any("python" in name for name in _kernels(home)), timeout_s=90), kernel
        # when Ctrl-C is pressed in the terminal,
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    # then everything ends, the kernel, the Erlang and the PostgreSQL processes with it.
    assert process.returncode == 0, said
    assert "ending everything" in said
    assert leaves_nothing(home)


def _answers(jupyter: httpx.Client) -> bool:
    try:
        return jupyter.get("/api/status").status_code == 200
    except httpx.HTTPError:
        return False


def _kernels(home: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if any("ipykernel" in part for part in line) and process.environ().get("LAB_HOME") == str(home):
                found.append(line[0])
        except (psutil.Error, OSError):
            continue
    return found
