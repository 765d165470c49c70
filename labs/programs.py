"""A function of ours in a process of its own: what it reports is kept, and it can be killed like any other.

Every report is one line, written at once: a killed program has reported all or nothing of a fact. Reports are
collected in the background and never printed. A program ends when the process that started it does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self

from labs.errors import LabError

_TIMEOUT_S = 60.0
_AT = "at_s"
_EVENT = "event"


class ProgramFailed(LabError):
    """A program ended before it did what somebody waits for, or took too long."""


@dataclass(frozen=True)
class Report:
    """One fact that a program told.

    Args:
        at_s: seconds of `time.monotonic`, which is one clock for all processes of a machine.
        event: what happened.
        facts: the rest, by name.
    """

    at_s: float
    event: str
    facts: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


def report(event: str, **facts: object) -> None:
    """Tell whoever started this process; the facts must be fit for JSON."""
    sys.stdout.write(json.dumps({_AT: time.monotonic(), _EVENT: event, **facts}) + "\n")
    sys.stdout.flush()


def hang(event: str, **facts: object) -> NoReturn:
    """Report, then do nothing for ever: a place at which a process can be killed exactly."""
    report(event, **facts)
    while True:
        signal.pause()


class Program:
    """A running program; a context manager that kills it.

    Args:
        function: a function of a module that can be imported; keyword arguments, fit for JSON, are handed to it.
        environment: variables on top of ours.

    Raises:
        ValueError: the function was defined in a notebook or inside another function: nobody else can import it.
    """

    def __init__(
        self, function: Callable[..., object], *, environment: Mapping[str, str] | None = None, **arguments: object
    ) -> None:
        self.name = f"{function.__module__}:{function.__qualname__}"
        if function.__module__ == "__main__" or "<locals>" in function.__qualname__:
            raise ValueError(f"{self.name} can't be imported by another process: put it into a module")
        self.reports: list[Report] = []
        self._news = threading.Condition()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the program)
        # Standard input stays open for as long as we live: its end tells the program that we are gone.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "labs.programs", self.name, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def of(self, event: str) -> list[Report]:
        """What it has reported of one kind, in order."""
        return [told for told in list(self.reports) if told.event == event]

    def wait_for(self, event: str, *, count: int = 1, timeout_s: float = _TIMEOUT_S) -> list[Report]:
        """Wait until it has reported so many of one kind; returns all of them.

        Raises:
            ProgramFailed: it ended before, or took too long; the text has the end of its standard error.
        """
        with self._news:
            enough = self._news.wait_for(
                lambda: len(self.of(event)) >= count or not self._reader.is_alive(), timeout=timeout_s
            )
        found = self.of(event)
        if len(found) < count:
            how = "ended" if enough else f"took longer than {timeout_s:g} s"
            raise ProgramFailed(f"{self.name} {how} with {len(found)} of {count} {event!r}\n{self._last_words()}")
        return found

    def wait(self, *, timeout_s: float = _TIMEOUT_S) -> int:
        """Wait for its end; returns the exit code (negative: the signal that ended it), all reports collected.

        Raises:
            ProgramFailed: it runs for longer; it is killed.
        """
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProgramFailed(f"{self.name} did not end within {timeout_s:g} s\n{self._last_words()}") from None
        self._reader.join()
        return code

    def kill(self) -> int:
        """SIGKILL; returns when it is gone, with the exit code."""
        return self._signal_and_wait(signal.SIGKILL)

    def terminate(self, *, timeout_s: float = _TIMEOUT_S) -> int:
        """SIGTERM; returns the exit code."""
        return self._signal_and_wait(signal.SIGTERM, timeout_s=timeout_s)

    def pause(self) -> None:
        """SIGSTOP: it is there and does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT, after `pause`."""
        self._process.send_signal(signal.SIGCONT)

    def _signal_and_wait(self, number: int, *, timeout_s: float = _TIMEOUT_S) -> int:
        self._process.send_signal(number)  # nothing, if it is gone
        code = self.wait(timeout_s=timeout_s)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                told = _parsed(line)
                if told is not None:
                    with self._news:
                        self.reports.append(told)
                        self._news.notify_all()
        # Whoever waits looks whether this thread lives: it must be seen to be over.
        threading.Thread(target=self._tell_the_end, daemon=True).start()

    def _tell_the_end(self) -> None:
        self._reader.join()
        with self._news:
            self._news.notify_all()

    def _last_words(self) -> str:
        self._errors.seek(0)
        return "\n".join(self._errors.read().decode(errors="replace").splitlines()[-12:])


def _parsed(line: bytes) -> Report | None:
    """A report; anything else that is printed is not for us."""
    try:
        facts = json.loads(line)
        return Report(facts.pop(_AT), facts.pop(_EVENT), facts)
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


def _end_with_parent() -> None:
    # Not through sys.stdin: the interpreter could not end while we hold its lock.
    while os.read(0, 1024):
        pass
    os._exit(1)


def main(name: str, arguments: str) -> None:
    """Run a function by its name, `module:function`, with keyword arguments as a JSON object."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    module, _, function = name.partition(":")
    getattr(importlib.import_module(module), function)(**json.loads(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
