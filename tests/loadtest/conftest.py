"""Runs of the engine on a virtual host of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from labs.broker import VirtualHost
from loadtest.engine.histogram import Histogram
from loadtest.engine.integrity import Integrity
from loadtest.results import Run
from loadtest.results.frames import latency_frame


@pytest.fixture
def url(vhost: VirtualHost) -> str:
    return vhost.amqp_url


@pytest.fixture
def a_run() -> Callable[..., Run]:
    """Makes runs with given figures, as if they had been measured."""
    return made_run


def made_run(
    *,
    name: str = "made",
    received: float = 1000.0,
    p99: float = 5.0,
    limit: str = "rate",
    lost: int = 0,
    backlog_grows: bool = False,
    rate: float | None = 1000.0,
) -> Run:
    histogram = Histogram()
    histogram.record(np.full(1000, int(p99 * 1e6), np.int64))
    counts = dict.fromkeys(("unsent", "nacked", "returned", "unconfirmed", "duplicated", "recovered", "unexpected"), 0)
    names = ("from_intended", "from_sent", "confirm", "send_delay")
    exact = [histogram.total_ns, histogram.least_ns, histogram.most_ns]
    return Run(
        manifest={"name": name, "partial": False, "arguments": {"consumers": 1, "rate": rate}},
        series=pd.DataFrame(),
        samples=pd.DataFrame(),
        latency=latency_frame(dict.fromkeys(names, histogram)),
        broker=pd.DataFrame(),
        integrity=Integrity(offered=1000, sent=1000, confirmed=1000, delivered=1000 - lost, lost=lost, **counts),
        verdict={
            "per_s": {"offered": 1000.0, "sent": 1000.0, "confirmed": 1000.0, "received": received},
            "limit": {"by": limit, "why": "", "text": limit},
            "backlog_grows": backlog_grows,
            "latency": {name: {"exact_ns": exact} for name in names},
            "censored": 0,
        },
    )
