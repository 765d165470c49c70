"""A run with everything that is kept of it: the same object fresh from the engine and read from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from loadtest.engine.histogram import Histogram
from loadtest.engine.integrity import Integrity
from loadtest.engine.result import Result
from loadtest.place import Place
from loadtest.results import frames
from loadtest.results.manifest import manifest_of
from loadtest.results.verdict import verdict_of
from loadtest.sampling import BrokerSample


@dataclass(frozen=True)
class Run:
    """One run.

    Args:
        manifest: what was run, on what, with which versions.
        series: per second: offered, sent, confirmed, received, backlog, latency, how busy the generator was.
        samples: the run as it was watched, twice a second; counts are totals.
        latency: the filled buckets of the four histograms: name, bucket, its middle in ms, count.
        broker: the broker's own figures, once a second; empty if it could not be asked.
        integrity: what became of the messages.
        verdict: what limited the run, its rates and percentiles, and whether it met its objective.
        folder: where it was read from.
    """

    manifest: dict[str, Any]
    series: pd.DataFrame
    samples: pd.DataFrame
    latency: pd.DataFrame
    broker: pd.DataFrame
    integrity: Integrity
    verdict: dict[str, Any]
    folder: Path | None = None

    @property
    def name(self) -> str:
        return str(self.manifest["name"])

    @property
    def is_partial(self) -> bool:
        """It was interrupted, or the broker refused to go on."""
        return bool(self.manifest["partial"])

    @property
    def histograms(self) -> dict[str, Histogram]:
        """The four latencies by name, as they were counted: those of several runs merge exactly."""
        return {
            name: frames.histogram_of(self.latency, name, exact=summary["exact_ns"])
            for name, summary in self.verdict["latency"].items()
        }

    def quantile_ms(self, name: str, quantile: float) -> float:
        """Of one latency; infinite where messages that never came decide, nan if nothing was measured."""
        censored = int(self.verdict["censored"]) if name in ("from_intended", "from_sent") else 0
        return self.histograms[name].quantile_ms(quantile, censored=censored)


def recorded(
    result: Result,
    *,
    name: str,
    place: Place,
    broker: Sequence[BrokerSample] = (),
    objective_ms: float | None = None,
    command: Sequence[str] = (),
) -> Run:
    """What is kept of a result of the engine.

    Args:
        name: of the run; goes into the name of its folder.
        place: where it was.
        broker: what the broker has said of itself meanwhile.
        objective_ms: what the 99th percentile from the intended time should not exceed.
        command: the command line.
    """
    watched = frames.broker_frame(broker, zero_s=result.zero_s, run=result.run)
    return Run(
        manifest=manifest_of(result, name=name, place=place, command=command),
        series=frames.series_frame(result),
        samples=frames.samples_frame(result),
        latency=frames.latency_frame(result.histograms),
        broker=watched,
        integrity=result.integrity,
        verdict=verdict_of(result, watched, objective_ms=objective_ms),
    )
