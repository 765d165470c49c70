"""Results as tables: one row a second, a sample, or a bucket; units in the names of the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from loadtest.engine.histogram import Histogram
from loadtest.engine.result import Result, Sample
from loadtest.engine.series import Floats
from loadtest.sampling import BrokerSample

_RATES = {"offered": "due", "sent": "sent", "confirmed": "confirmed", "received": "received"}
_OF_QUEUES = ("messages_ready", "messages_unacknowledged", "publish_per_s", "deliver_per_s", "ack_per_s")


def series_frame(result: Result) -> pd.DataFrame:
    """Per second since the start; the last one may be a part of a second, and its rates count for that part."""
    end_s = result.series.end_s
    edges = np.append(np.arange(0.0, end_s), end_s) if end_s > 0 else np.zeros(1)
    starts, lengths = edges[:-1], np.diff(edges)
    series = result.series
    columns: dict[str, Any] = {"second": starts, "length_s": lengths}
    for column, total in _RATES.items():
        columns[f"{column}_per_s"] = np.diff(series.total(total, edges)) / np.maximum(lengths, 1e-9)
    columns["backlog"] = series.backlog(edges[1:])
    columns["unconfirmed"] = series.total("outstanding", edges[1:])
    for quantile in (0.5, 0.99):
        columns[f"p{quantile * 100:g}_ms"] = [
            series.within("from_intended", start, end).quantile_ms(quantile)
            for start, end in zip(starts, edges[1:], strict=True)
        ]
    columns["producer_busy"] = series.busiest("producers", edges[1:])
    columns["consumer_busy"] = series.busiest("consumers", edges[1:])
    columns["blocked_s"] = series.total("blocked_s", edges[1:])
    columns["phase"] = np.where(starts < result.plan.warmup_s, "warm-up", _after_warmup(result, starts))
    return pd.DataFrame(columns)


def _after_warmup(result: Result, starts: Floats) -> NDArray[np.str_]:
    return np.where(starts < result.load_s - 1e-9, "load", "drain")


def samples_frame(result: Result) -> pd.DataFrame:
    """The run as it was watched."""
    names = list(Sample.__dataclass_fields__)
    frame = pd.DataFrame([asdict(sample) for sample in result.samples], columns=names)
    return frame.astype({"ready": "Int64"})


def latency_frame(histograms: Mapping[str, Histogram]) -> pd.DataFrame:
    """The filled buckets of several histograms, one below the other."""
    parts = []
    for name, histogram in histograms.items():
        middles_ms, counts = histogram.edges_ms()
        buckets = np.flatnonzero(histogram.counts)
        parts.append(pd.DataFrame({"name": name, "bucket": buckets, "ms": middles_ms, "count": counts}))
    return pd.concat(parts, ignore_index=True).astype({"name": "str"})


def histogram_of(latency: pd.DataFrame, name: str, *, exact: Sequence[int]) -> Histogram:
    """One histogram again, as it was recorded.

    Args:
        exact: its sum, least and most, in ns.
    """
    rows = latency[latency["name"] == name]
    stored = {"buckets": rows["bucket"].tolist(), "counts": rows["count"].tolist(), "exact": list(exact)}
    return Histogram.from_sparse(stored)


def broker_frame(samples: Sequence[BrokerSample], *, zero_s: float, run: int) -> pd.DataFrame:
    """What the broker has said of itself, with the queues of one run alone.

    Args:
        zero_s: the start of the run, of `time.monotonic`.
        run: its number, which its queues have in their names.
    """
    rows = []
    for sample in samples:
        row = {name: value for name, value in vars(sample).items() if name != "queues"}
        rows.append({**row, "at_s": sample.at_s - zero_s, **_queues(sample, run)})
    names = [name for name in BrokerSample.__dataclass_fields__ if name != "queues"]
    return pd.DataFrame(rows, columns=[*names, *_OF_QUEUES]).astype(
        dict.fromkeys(("cpu_cores", "idle_cores"), "float64")
    )


def _queues(sample: BrokerSample, run: int) -> dict[str, float]:
    ours = [queue for queue in sample.queues if queue.name.startswith(f"load.{run:08x}.")]
    return {
        "messages_ready": sum(queue.messages_ready for queue in ours),
        "messages_unacknowledged": sum(queue.messages_unacknowledged for queue in ours),
        "publish_per_s": sum(queue.message_stats.publish_details.rate for queue in ours),
        "deliver_per_s": sum(queue.message_stats.deliver_get_details.rate for queue in ours),
        "ack_per_s": sum(queue.message_stats.ack_details.rate for queue in ours),
    }
