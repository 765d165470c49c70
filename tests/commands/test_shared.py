"""A command that is told to end ends in order, by whatever signal; one that was put in the background stays."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

#: Prints that it can be told now, and that it has cleaned up; ended by an alarm at last.
COMMAND = """
import signal, sys
from labs.commands.shared import end_in_order
signal.signal(signal.SIGHUP, signal.{before})
end_in_order()
signal.alarm(60)
try:
    print("ready", flush=True)
    signal.pause()
finally:
    print("in order", flush=True)
"""


def started(before: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(before=before)],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_ends_in_order(number: signal.Signals) -> None:
    with started("SIG_DFL") as process:
        process.send_signal(number)
        said, _ = process.communicate(timeout=30)
    assert said == "in order\n"
    assert process.returncode == 128 + number


def test_a_command_started_with_nohup_outlives_its_terminal() -> None:
    with started("SIG_IGN") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
