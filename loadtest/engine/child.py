"""How a process of the engine talks with the one that started it: lines of JSON out, a few words in."""

from __future__ import annotations

import json
import resource
import select
import sys
import time
from typing import Any

#: In less, one message more or less would look like a busy or an idle process.
_LEAST_S = 0.1


def hear() -> str:
    """The next line of whoever started us; what follows it is left where `told_to_stop` sees it."""
    with open(0, "rb", buffering=0, closefd=False) as unbuffered:
        return unbuffered.readline().decode()


def tell(event: str, **facts: object) -> None:
    """One line for whoever started us."""
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def wait_for_start() -> int:
    """Say that we are ready, and wait for the moment at which all begin, in ns of `time.monotonic_ns`."""
    tell("ready")
    word, _, moment = hear().partition(" ")
    if word != "start":
        sys.exit(0)  # the run was called off
    return int(moment)


def told_to_stop() -> bool:
    """Whether the one who started us has said so, or is gone; doesn't wait."""
    return bool(select.select([0], [], [], 0)[0])  # a word, or the end of the line


class CpuClock:
    """CPU seconds of this process, and its share of the time since the start."""

    def __init__(self) -> None:
        self._cpu_s, self._at_s = _cpu_s(), time.monotonic()
        self._share = 0.0

    @property
    def used_s(self) -> float:
        return _cpu_s() - self._cpu_s

    def busy(self) -> float:
        """Share of one core that was used since the last call, or before that if it was just now."""
        cpu_s, at_s = _cpu_s(), time.monotonic()
        if at_s - self._at_s >= _LEAST_S:
            self._share = (cpu_s - self._cpu_s) / (at_s - self._at_s)
            self._cpu_s, self._at_s = cpu_s, at_s
        return self._share


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def facts_of(**histograms: Any) -> dict[str, Any]:
    """Histograms, fit for a line."""
    return {name: histogram.sparse() for name, histogram in histograms.items()}
