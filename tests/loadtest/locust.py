"""Locust as a process, as a user starts it; its module patches whoever imports it, so no test does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs.processes import free_ports, wait_until
from labs.settings import ROOT

LOCUSTFILE = ROOT / "loadtest" / "locustfile.py"
_TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Ended:
    """A run of Locust that has ended."""

    exit_code: int
    log: str
    rows: dict[tuple[str, str], dict[str, Any]]
    board: dict[str, Any]

    def requests(self, kind: str, name: str) -> int:
        """Requests of a row, 0 if there is no such row."""
        return int(self.rows.get((kind, name), {}).get("num_requests", 0))

    @property
    def failures(self) -> int:
        return sum(int(row["num_failures"]) for row in self.rows.values())

    def counts(self, scenario: str) -> dict[str, int]:
        """What the board has counted."""
        return dict(self.board["scenarios"][scenario]["counts"])


def environment(url: str, **further: str) -> dict[str, str]:
    """Of a Locust that uses the broker at `url`."""
    return {**os.environ, "LAB_AMQP_URL": url, "PYTHONPATH": str(ROOT), **further}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *arguments]


def run(url: str, folder: Path, *arguments: str, **further: str) -> Ended:
    """Run Locust without its web page until it ends."""
    board = folder / "board.json"
    # Masters of several tests at once each need a port of their own.
    [port] = free_ports(1, seed=str(time.monotonic_ns()))
    asked = ["--headless", "--only-summary", "--json", "--board-file", str(board), *arguments]
    asked += [f"--master-bind-port={port}", f"--master-port={port}"] if "--processes" in arguments else []
    done = subprocess.run(
        command(*asked),
        env=environment(url, **further),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    rows = _printed(done.stdout)
    return Ended(
        done.returncode,
        done.stderr,
        {(row["method"], row["name"]): row for row in rows},
        json.loads(board.read_text()) if board.exists() else {},
    )


def _printed(text: str) -> list[dict[str, Any]]:
    """The rows of the process that has some: workers, which print too, have told theirs to the master."""
    decoder, found, start = json.JSONDecoder(), [], text.find("[")
    while start >= 0:
        rows, end = decoder.raw_decode(text, start)
        found += rows
        start = text.find("[", end)
    return found


class Page:
    """Locust with its web page."""

    def __init__(self, url: str, port: int) -> None:
        self.url, self._base = url, f"http://127.0.0.1:{port}"

    def text(self, path: str) -> str:
        with urllib.request.urlopen(self._base + path, timeout=10) as answer:
            return str(answer.read().decode())

    def json(self, path: str) -> Any:
        return json.loads(self.text(path))


@contextlib.contextmanager
def page(url: str, *arguments: str) -> Iterator[Page]:
    """Locust with its web page, ended as by Ctrl-C."""
    [port] = free_ports(1, seed=str(time.monotonic_ns()))
    asked = [f"--web-port={port}", "--web-host=127.0.0.1", *arguments]
    process = subprocess.Popen(command(*asked), env=environment(url), stderr=subprocess.PIPE, text=True)
    shown = Page(url, port)

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return bool(shown.text("/broker"))
        return False

    try:
        assert wait_until(answers, timeout_s=120)
        yield shown
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=_TIMEOUT_S)
