"""Whether the engine tells the truth: about a broker that stands still, and about the schedule that it keeps."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import engine
from benchmarks.report import Figure
from labs.broker import Node
from loadtest.engine.plan import Plan
from loadtest.engine.result import Sample
from loadtest.engine.run import execute

_PAUSE_S = 1.0
_PAUSE_AT_S = 4.0
#: So short that the quantiles hardly depend on how fast the broker catches up.
_LOAD_S, _WARMUP_S = 10.0, 2.0


class _Pause:
    """Stops a process once for a moment, when a run has come so far; knows how long that really was."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._thread = threading.Thread(target=self._stand_still)
        self.took_s = float("nan")

    def watch(self, sample: Sample) -> None:
        if sample.at_s >= _PAUSE_AT_S and self._thread.ident is None:
            self._thread.start()

    def _stand_still(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)
        began_s = time.monotonic()
        try:
            time.sleep(_PAUSE_S)
        finally:
            os.kill(self._pid, signal.SIGCONT)
            self.took_s = time.monotonic() - began_s


def paused_ms(quantile: float, *, pause_s: float, load_s: float, share: float) -> float:
    """A quantile of latency from the intended time, in ms, when nothing but one pause takes time.

    A message that is meant to go u seconds into the pause arrives when the broker has caught up with those before it:
    at the pause's end and u * share later, after pause_s - u * (1 - share) seconds. The longest latencies are those
    of the smallest u, so the quantile is that of the message with u = (1 - quantile) * load_s.

    Args:
        pause_s: how long the broker stood still.
        load_s: seconds of load that are counted.
        share: the offered rate, as a share of the rate at which the broker catches up.
    """
    return max(0.0, pause_s - (1 - quantile) * load_s * (1 - share)) * 1000


def pause(*, quick: bool = False) -> list[Figure]:
    """Half of what a private node can take, evenly, while that node is stopped for a second and goes on."""
    with tempfile.TemporaryDirectory(prefix="bench-node-") as home:
        node = Node(Path(home))
        node.start()
        try:
            return _paused(node, seconds=3.0 if quick else 6.0)
        finally:
            node.stop()


def _paused(node: Node, *, seconds: float) -> list[Figure]:
    capacity = execute(engine.plan(seconds=seconds), node.amqp_url).rate("received")
    pid = node.pid
    assert pid is not None
    stop = _Pause(pid)
    half = Plan(rate=capacity / 2, duration_s=_LOAD_S, warmup_s=_WARMUP_S)
    result = execute(half, node.amqp_url, watch=stop.watch)
    figures = [Figure("half of a node's capacity offered, and the node paused for", stop.took_s * 1000, "ms")]
    for quantile, name in ((0.99, "p99"), (0.999, "p99.9")):
        measured = result.quantile_ms("from_intended", quantile)
        truth = paused_ms(quantile, pause_s=stop.took_s, load_s=_LOAD_S - _WARMUP_S, share=0.5)
        figures += [
            Figure(f"  {name} from the intended time", measured, "ms"),
            Figure(f"  {name} by arithmetic", truth, "ms"),
            Figure(f"  {name}: off by", abs(measured / truth - 1) * 100, "%", at_most=5),
        ]
    return figures


def schedule(*, quick: bool = False) -> list[Figure]:
    """Half of the broker's capacity at random times, for a minute: sent in time against offered.

    Whether messages go at the times of a Poisson process is seen where each is sent alone, below the rate from which
    on the engine gathers: the gaps between 100 messages a second are held against an exponential distribution.
    """
    capacity = engine.run(engine.plan(seconds=3.0 if quick else 6.0)).rate("received")
    length_s = 10.0 if quick else 60.0
    busy = engine.run(Plan(rate=capacity / 2, arrivals="poisson", duration_s=length_s))
    end = np.array([length_s])
    achieved = busy.series.total("sent", end)[0] / busy.series.total("due", end)[0]
    calm = engine.run(Plan(rate=100, arrivals="poisson", duration_s=length_s / 2))
    gaps_s = np.diff(calm.sent[0]["sent_ns"]) / 1e9
    distance, chance = exponential_fit(gaps_s, rate=100)
    return [
        Figure(f"offered for {length_s:g} s, Poisson arrivals", busy.rate("due"), "messages/s"),
        Figure("  sent within that time", float(achieved) * 100, "%", at_least=99.9),
        Figure("  p99 of the delay of sending", busy.quantile_ms("send_delay", 0.99), "ms"),
        Figure(f"gaps of {len(gaps_s)} messages against an exponential: Kolmogorov-Smirnov D", distance, ""),
        Figure("  probability of such a D or more by chance", chance, "", at_least=0.01),
    ]


def exponential_fit(gaps: NDArray[np.float64], *, rate: float) -> tuple[float, float]:
    """Kolmogorov-Smirnov: the largest distance of two distributions, and how probable one as large is by chance."""
    count = len(gaps)
    expected = 1 - np.exp(-rate * np.sort(gaps))
    steps = np.arange(count + 1) / count
    distance = float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))
    scaled = (np.sqrt(count) + 0.12 + 0.11 / np.sqrt(count)) * distance
    terms = np.arange(1, 101)
    chance = 2 * float(np.sum((-1.0) ** (terms - 1) * np.exp(-2 * (terms * scaled) ** 2)))
    return distance, min(1.0, max(0.0, chance))
