"""Programs: functions in processes of their own, whose reports are complete and whose ends are certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from labs.processes import is_alive, wait_until
from labs.programs import Program, ProgramFailed, hang, report


def count_to(*, most: int) -> None:
    for number in range(most):
        report("counted", number=number)


def count_and_hang(*, most: int) -> None:
    count_to(most=most)
    hang("hanging", pid=os.getpid())


def print_noise() -> None:
    print("noise")
    print('{"noise": 1}')
    print("[1]")
    report("told")


def fail(*, why: str) -> None:
    raise RuntimeError(why)


def beat() -> None:
    while True:
        report("beat")
        time.sleep(0.01)


def test_a_program_reports_and_ends() -> None:
    before_s = time.monotonic()
    with Program(count_to, most=3) as program:
        assert program.wait() == 0
        assert [told["number"] for told in program.of("counted")] == [0, 1, 2]
        assert before_s < program.reports[0].at_s < time.monotonic(), "one clock for both"


def test_what_is_printed_otherwise_is_no_report() -> None:
    with Program(print_noise) as program:
        assert program.wait() == 0
        assert [told.event for told in program.reports] == ["told"]


def test_a_program_is_killed_where_it_hangs_and_nothing_it_told_is_lost() -> None:
    with Program(count_and_hang, most=1000) as program:
        program.wait_for("hanging")
        assert program.kill() == -signal.SIGKILL
        assert len(program.of("counted")) == 1000
        assert program.kill() == -signal.SIGKILL, "killing the dead is no error"


def test_sigterm_ends_it() -> None:
    with Program(count_and_hang, most=1) as program:
        program.wait_for("hanging")
        assert program.terminate() == -signal.SIGTERM


def test_waiting_for_what_never_comes_says_why() -> None:
    with Program(fail, why="because of the moon") as program, pytest.raises(ProgramFailed, match="the moon"):
        program.wait_for("anything")


def test_waiting_too_long_ends() -> None:
    with Program(count_and_hang, most=2) as program:
        program.wait_for("hanging")
        with pytest.raises(ProgramFailed, match=r"took longer than 0\.2 s with 2 of 3"):
            program.wait_for("counted", count=3, timeout_s=0.2)
        with pytest.raises(ProgramFailed, match="did not end"):
            program.wait(timeout_s=0.1)


def test_a_paused_program_does_nothing_until_it_is_resumed() -> None:
    with Program(beat) as program:
        program.wait_for("beat")
        program.pause()
        assert wait_until(lambda: psutil.Process(program.pid).status() == psutil.STATUS_STOPPED, timeout_s=60)
        program.resume()
        program.wait_for("beat", count=len(program.of("beat")) + 2)


def test_a_function_that_nobody_can_import_is_refused() -> None:
    with pytest.raises(ValueError, match="put it into a module"):
        Program(lambda: None)


PARENT = """
import sys
from labs.programs import Program
from tests.test_programs import count_and_hang
program = Program(count_and_hang, most=1)
print(program.wait_for("hanging")[0]["pid"], flush=True)
sys.stdin.read()
"""


def test_a_program_ends_with_the_process_that_started_it() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert wait_until(lambda: not is_alive(pid), timeout_s=60)
