"""How near the engine comes to what the broker could do for a client that costs nothing.

Broker and client share the machine: each share of a core that the client uses is one that the broker doesn't have.
So a second process burns known shares of a core beside the engine, as if the client cost so much more. The rate over
what the client's side uses altogether is fitted with a straight line, and where the line meets zero is the rate of a
client that costs nothing.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import psutil

from benchmarks import engine
from benchmarks.report import Figure

#: Shares of a core, in turn, twice up and down, so that a drift of the machine is no slope.
_SHARES = (0.0, 0.4, 0.2, 0.6, 0.6, 0.2, 0.4, 0.0)
_QUICK_SHARES = (0.0, 0.5, 0.5, 0.0)
_BURN = """
import sys, time
share = float(sys.argv[1])
while True:
    began, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < share * 0.01: pass
    time.sleep(max(0.0, began + 0.01 - time.monotonic()))
"""


def share_of_limit(*, quick: bool = False) -> list[Figure]:
    """The engine's rate at full speed against the extrapolated rate of a client that costs nothing."""
    shares = _QUICK_SHARES if quick else _SHARES
    points = np.array([_point(share, seconds=3.0 if quick else 6.0) for share in shares])
    used, rates = points[:, 0], points[:, 1]
    slope, limit = np.polyfit(used, rates, 1)
    unburdened = float(rates[[share == 0.0 for share in shares]].mean())
    return [
        Figure("engine at full speed, nothing beside it", unburdened, "messages/s"),
        Figure("  a client that costs nothing, extrapolated", float(limit), "messages/s"),
        Figure("  lost for each further core that the client's side uses", float(-slope), "messages/s"),
        Figure("  the engine's share of the broker's limit", unburdened / float(limit) * 100, "%", at_least=90),
    ]


def _point(share: float, *, seconds: float) -> tuple[float, float]:
    """Cores that the client's side used, and messages per second."""
    own_s, began_s = _own_cpu_s(), time.monotonic()
    with _burning(share) as burnt:
        result = engine.run(engine.plan(seconds=seconds))
        beside = burnt() + (_own_cpu_s() - own_s) / (time.monotonic() - began_s)
    at_s = np.arange(*result.span_s, 0.25)
    busy = [float(np.mean(result.series.busiest(kind, at_s))) for kind in ("producers", "consumers")]
    return sum(busy) + beside, result.rate("received")


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def _burning(share: float) -> Iterator[Callable[[], float]]:
    """A process that uses so much of a core; gives what tells how much it has really used."""
    if not share:
        yield lambda: 0.0
        return
    process = subprocess.Popen([sys.executable, "-c", _BURN, str(share)])
    watched, began_s = psutil.Process(process.pid), time.monotonic()
    try:
        yield lambda: sum(watched.cpu_times()[:2]) / (time.monotonic() - began_s)
    finally:
        process.kill()
        process.wait()
