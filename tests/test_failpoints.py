"""Failpoints: a process fails at the exact moment it was told to, and never otherwise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from labs import failpoints
from labs.errors import ConfigurationError
from labs.processes import wait_until
from labs.settings import ROOT

#: Reaches a place five times, with its number as the context, and says each that it has survived.
SCRIPT = """
import sys
from labs import failpoints
failpoints.arm(sys.argv[1])
for n in range(1, 6):
    failpoints.reach("job.claimed", f"job {n}")
    failpoints.reach("job.performed")
    print(n, flush=True)
"""


def run(spec: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, spec]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


@pytest.mark.parametrize(
    ("spec", "survived"),
    [
        ("job.claimed=kill", 0),
        ("job.claimed=kill@3", 2),
        ("job.claimed=kill~job 4", 3),
        ("job.claimed=kill@2~job", 1),
        (" other.place=kill , job.performed=kill@5", 4),
    ],
)
def test_a_process_is_killed_at_the_moment_that_was_named(spec: str, survived: int) -> None:
    killed = run(spec)
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.split() == [str(n) for n in range(1, survived + 1)]


@pytest.mark.parametrize("spec", ["", "other.place=kill", "job.claimed=kill@6", "job.claimed=kill~job 9"])
def test_a_process_that_does_not_reach_it_lives(spec: str) -> None:
    lived = run(spec)
    assert (lived.returncode, lived.stdout.split()) == (0, ["1", "2", "3", "4", "5"])


def test_a_stopped_process_waits_until_it_is_told_to_go_on() -> None:
    command = [sys.executable, "-c", SCRIPT, "job.claimed=stop@2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:

        def stopped() -> bool:
            _, status = os.waitpid(process.pid, os.WNOHANG | os.WUNTRACED)
            return os.WIFSTOPPED(status)

        assert wait_until(stopped, timeout_s=60)
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=60)[0].split() == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("spec", ["job.claimed", "job.claimed=explode", "=kill", "a=kill@x", "Job=kill"])
def test_what_is_no_failpoint_is_refused(spec: str) -> None:
    with pytest.raises(ConfigurationError, match=r"name=kill\|stop"):
        failpoints.arm(spec)


def test_arming_anew_forgets_what_was_armed() -> None:
    failpoints.arm("job.claimed=kill")
    failpoints.arm("")
    failpoints.reach("job.claimed")  # this very process lives on
