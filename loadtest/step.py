"""One rate that was tried in the search for a capacity, and whether it passed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from loadtest.engine.verdict import KEPT
from loadtest.results.run import Run

Phase = Literal["bracket", "bisect", "hold"]
#: A step that kept this share of its rate may have had bad luck: a neighbour on the machine, a stall of the disk.
_NARROW = 0.8


@dataclass(frozen=True)
class Step:
    """One rate, tried.

    Args:
        rate: messages per second that were offered.
        kept: share of them that was received.
        p99_ms: 99th percentile from the intended time.
        passed: whether it met everything.
        client_bound: the load generator was the limit.
        why: what it failed by; empty if it passed.
        narrow: it failed by so little that it may have been chance.
    """

    rate: float
    phase: Phase
    kept: float
    p99_ms: float
    passed: bool
    client_bound: bool
    why: str
    narrow: bool = False


def judged(run: Run, *, rate: float, phase: Phase, objective_ms: float) -> Step:
    """Judge a run as a step."""
    per_s, verdict = run.verdict["per_s"], run.verdict
    through = min(per_s["received"] if run.manifest["arguments"]["consumers"] else math.inf, per_s["sent"])
    kept = through / per_s["offered"] if per_s["offered"] else 0.0
    p99_ms = run.quantile_ms("from_intended", 0.99)
    failed = [
        (not run.integrity.is_whole, "messages were lost or changed"),
        (kept < KEPT, f"only {kept:.1%} of the rate was kept"),
        (verdict["backlog_grows"], "the backlog grew"),
        (not p99_ms <= objective_ms, f"p99 was {p99_ms:,.0f} ms"),
    ]
    why = ", ".join(text for is_so, text in failed if is_so)
    narrow = run.integrity.is_whole and kept >= _NARROW
    is_client = bool(why) and verdict["limit"]["by"] == "client"
    return Step(rate, phase, kept, p99_ms, not why, is_client, why, narrow)
