"""The processes of a run, seen from the one that started them: their news collected, their end certain."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from typing import Any, Literal

from loadtest.engine.plan import Task

_READY_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 20.0


class RunFailed(Exception):
    """A run could not be done; the text says why, and what to do."""


class Worker:
    """One producer or consumer."""

    def __init__(self, kind: Literal["produce", "consume"], task: Task) -> None:
        self.kind, self.task = kind, task
        self.ticks: list[dict[str, Any]] = []
        self.done: dict[str, Any] | None = None
        self._failed: str | None = None
        self._news = threading.Condition()
        self._ready = False
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtest.engine", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for the one who started us
        )
        self._say(json.dumps(task.as_dict()))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def last(self) -> dict[str, Any]:
        """The last tick, empty before the first."""
        return self.ticks[-1] if self.ticks else {}

    def wait_ready(self) -> None:
        """Wait until it is connected.

        Raises:
            RunFailed: it isn't; the text has the broker's words.
        """
        with self._news:
            self._news.wait_for(lambda: self._ready or not self._reader.is_alive(), _READY_TIMEOUT_S)
        if not self._ready:
            self.kill()
            raise RunFailed(self._failed or f"a {self.kind}r did not start:\n{self._last_words()}")

    def start(self, at_ns: int) -> None:
        """Let it begin at a moment of `time.monotonic_ns`."""
        self._say(f"start {at_ns}")

    def stop(self) -> None:
        """Tell it that it is enough."""
        self._say("stop")

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; returns whether it has come to one, with its books written."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join()
        return self.done is not None

    def end(self) -> None:
        """Wait for its end for a while, then kill it."""
        if not self.wait(_END_TIMEOUT_S):
            self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: whoever waits for it will see that

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._note(json.loads(line))
        threading.Thread(target=self._tell, daemon=True).start()

    def _note(self, told: dict[str, Any]) -> None:
        event = told.pop("event")
        with self._news:
            if event == "tick":
                self.ticks.append(told)
            elif event == "done":
                self.done = told
            elif event == "failed":
                self._failed = told["reason"]
            else:
                self._ready = True
            self._news.notify_all()

    def _tell(self) -> None:
        self._reader.join()
        with self._news:
            self._news.notify_all()

    def _last_words(self) -> str:
        self._stderr.seek(0)
        return "\n".join(self._stderr.read().decode(errors="replace").splitlines()[-8:])
