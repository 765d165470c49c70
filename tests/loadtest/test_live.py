"""A run of the engine as a process: told what to do and when to stop, in whatever pieces the words arrive."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from labs.broker import VirtualHost
from labs.settings import ROOT
from loadtest.engine.plan import Plan


def live(words: str) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "loadtest.live"]
    done = subprocess.run(command, input=words, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def task(url: str, **changes: Any) -> str:
    return json.dumps({"url": url, "plan": Plan(**{"rate": 500, "warmup_s": 0.5, **changes}).as_dict()}) + "\n"


def test_told_to_stop_in_the_same_breath_it_stops_at_once(url: str, vhost: VirtualHost) -> None:
    started = time.monotonic()
    status, told = live(task(url, duration_s=600.0) + "stop\n")
    assert status == 0
    assert time.monotonic() - started < 200
    assert told[-1]["event"] == "result"
    assert told[-1]["partial"]
    found = told[-1]["integrity"]
    assert found["sent"] == found["confirmed"] == found["delivered"]
    assert vhost.queues() == []


def test_a_broker_that_is_away_is_told_of() -> None:
    status, told = live(task("amqp://guest:guest@127.0.0.1:1/", duration_s=2.0))
    assert status == 1
    assert [each["event"] for each in told] == ["failed"]
    assert "127.0.0.1:1" in told[0]["reason"] or "made" in told[0]["reason"]
