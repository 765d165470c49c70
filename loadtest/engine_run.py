"""One run of the engine, watched from Locust: a process that is told what to do and tells what it does."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import gevent

from loadtest.engine.histogram import Histogram
from loadtest.engine.plan import Plan
from loadtest.part import Part
from loadtest.stats import Row

if TYPE_CHECKING:
    from loadtest.load import Load


class EngineRun:
    """A run that has been started; its numbers go to Locust's statistics and to the board.

    Args:
        load: whose run it is.
        plan: what it does.
        title: its name in Locust's tables.
    """

    def __init__(self, load: Load, plan: Plan, *, title: str) -> None:
        self._load, self._plan = load, plan
        self._due, self._busy = 0, 0.0
        self.part = Part(title, due=lambda: self._due, busy=lambda: self._busy, notes_itself=True)
        self.part.copies = 1 if plan.consumers else 0
        stats = load.environment.stats
        self._publish = Row(stats, method="publish", name=title, size=plan.size)
        self._deliver = Row(stats, method="deliver", name=title, size=plan.size)
        self._has_ended = False
        load.board.parts.append(self.part)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtest.live"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for Locust, which then ends the run
        )
        self._say(json.dumps({"plan": plan.as_dict(), "url": load.url}))
        self._reader = gevent.spawn(self._read)

    def stop(self) -> None:
        """Cut it short; what was sent by then is accounted for."""
        if not self._has_ended:
            self._say("stop")

    def wait(self) -> None:
        """Until it has ended and all its numbers are taken."""
        self._reader.join()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended: its reader sees that
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        event = ""
        for line in self._process.stdout:
            told = json.loads(line)
            event = told["event"]
            if event == "failed":
                self._load.fail(told["reason"])
            else:
                self._take(told)
        self._has_ended = True
        self._process.wait()
        self.part.is_over = True
        if event not in ("result", "failed"):
            self._load.fail(f"the engine ended in the middle of its run:\n{self._last_words()}")

    def _take(self, told: dict[str, Any]) -> None:
        sample = told["sample"]
        latencies = {name: Histogram.from_sparse(each) for name, each in told["latencies"].items()}
        self.part.latencies = latencies
        self._due = sample["due"]
        self._busy = max(sample["producer_busy"], sample["consumer_busy"])
        self.part.sent, self.part.confirmed = sample["sent"], sample["confirmed"]
        self.part.received = sample["received"]
        if told["event"] == "result":
            self._settle(told)
        self.part.note(sample["at_s"])
        self._publish.update(self.part.confirmed if self._plan.window else self.part.sent, latencies["confirm"])
        self._deliver.update(self.part.received, latencies["from_intended"])

    def _settle(self, told: dict[str, Any]) -> None:
        """All books are compared: now the counts are final, and what is missing failed."""
        found = told["integrity"]
        self._due, self.part.sent, self.part.confirmed = found["offered"], found["sent"], found["confirmed"]
        self.part.received = found["delivered"] + found["duplicated"]
        self.part.limit = (told["limit"]["by"], told["limit"]["why"])
        if self._plan.window:
            self._publish.fail(found["nacked"], "the broker refused it")
            self._publish.fail(found["returned"], "the broker returned it: no such queue")
            self._publish.fail(found["unconfirmed"], "no confirm came")
        if not told["partial"]:  # else it was not given its time
            self._publish.fail(found["unsent"], "not sent in time: the broker took too long for those before")
        self._deliver.fail(found["lost"], "confirmed and never delivered")
        for error in told["errors"]:
            self._load.warn(f"{self.part.scenario}: {error}")

    def _last_words(self) -> str:
        self._stderr.seek(0)
        return "\n".join(self._stderr.read().decode(errors="replace").splitlines()[-8:])
