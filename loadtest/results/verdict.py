"""The verdict on a run, fit for JSON: what limited it, its rates and percentiles, and whether it met its objective."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from loadtest.engine.result import Result
from loadtest.engine.verdict import BUSY, grows, limit_of
from loadtest.little import little_of

#: By the names that they have everywhere.
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}
#: Cores of the machine that nobody used: with less, the broker may have waited for one.
_IDLE = 0.3
_RATES = {"offered": "due", "sent": "sent", "confirmed": "confirmed", "received": "received"}


def verdict_of(result: Result, broker: pd.DataFrame, *, objective_ms: float | None) -> dict[str, Any]:
    """Judge a run.

    Args:
        broker: what the broker has said of itself.
        objective_ms: what the 99th percentile from the intended time should not exceed; None: no objective.
    """
    little = little_of(result, broker)
    limit = limit_of(result, broker_has_time=_has_time(result, broker))
    return {
        "limit": {"by": limit.by, "why": limit.why, "text": str(limit)},
        "is_whole": result.integrity.is_whole,
        "backlog_grows": grows(result),
        "objective": _objective(result, objective_ms),
        "per_s": {name: result.rate(total) for name, total in _RATES.items()},
        "latency": {name: _latency(result, name) for name in result.histograms},
        "censored": result.censored,
        "little": asdict(little) if little is not None else None,
        "cpu_s": result.cpu_s,
        "errors": result.errors,
    }


def _has_time(result: Result, broker: pd.DataFrame) -> bool:
    """Whether the broker used less than a core, of which one of its processes can use up one, and could have had more.

    Of a broker on another machine nothing is known.
    """
    start_s, end_s = result.span_s
    during = broker[(broker["at_s"] >= start_s) & (broker["at_s"] <= end_s)]
    used, idle = during["cpu_cores"].mean(), during["idle_cores"].mean()  # nan, if nothing is known
    return bool(used < BUSY and idle > _IDLE)


def _objective(result: Result, objective_ms: float | None) -> dict[str, Any] | None:
    if objective_ms is None:
        return None
    found_ms = result.quantile_ms("from_intended", 0.99)
    return {"p99_ms": objective_ms, "is_met": bool(found_ms <= objective_ms)}


def _latency(result: Result, name: str) -> dict[str, Any]:
    histogram = result.histograms[name]
    return {
        "count": histogram.count,
        "mean_ms": written(histogram.mean_ms),
        **{f"{short}_ms": written(result.quantile_ms(name, share)) for short, share in QUANTILES.items()},
        "max_ms": written(histogram.most_ns / 1e6 if histogram.count else math.nan),
        "exact_ns": [histogram.total_ns, histogram.least_ns, histogram.most_ns],
    }


def written(value: float) -> float | str | None:
    """A number as JSON can hold it: no value is null, one that never came is `"inf"`, which `float` reads."""
    if math.isnan(value):
        return None
    return "inf" if math.isinf(value) else value
