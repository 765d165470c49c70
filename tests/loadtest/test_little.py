"""Little's law: what the broker counts and what our clocks say must fit, and a lie of either is seen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from loadtest.engine.histogram import Histogram
from loadtest.engine.plan import Plan
from loadtest.little import little_of


def measured(*, waited_ms: float, rate: float = 2000.0, **changes: Any) -> Any:
    """As much of a result as the check looks at."""
    histogram = Histogram()
    histogram.record(np.full(1000, int(waited_ms * 1e6), np.int64))
    plan = Plan(duration_s=10, ack_every=1, **changes)
    return SimpleNamespace(plan=plan, span_s=(2.0, 9.5), histograms={"from_sent": histogram}, rate=lambda _: rate)


def told(messages: list[int], *, first_s: float = 2.5) -> pd.DataFrame:
    """What the broker has said, once a second."""
    at_s = first_s + np.arange(len(messages))
    return pd.DataFrame({"at_s": at_s, "messages_ready": 0, "messages_unacknowledged": messages})


def test_rate_times_time_is_what_the_broker_holds() -> None:
    found = little_of(measured(waited_ms=500), told([980, 1010, 1000, 1020, 990]))
    assert found is not None
    assert (found.sampled, found.expected, found.samples) == (1000, pytest.approx(1000, rel=0.01), 5)
    assert found.agrees


@pytest.mark.parametrize("waited_ms", [5, 2500])
def test_a_clock_or_a_count_that_lies_is_seen(waited_ms: float) -> None:
    found = little_of(measured(waited_ms=waited_ms), told([980, 1010, 1000, 1020, 990]))
    assert found is not None
    assert not found.agrees


def test_messages_that_wait_for_their_ack_alone_are_counted_too() -> None:
    result = measured(waited_ms=1, consumers=2)
    result.plan = result.plan.with_(ack_every=401)
    found = little_of(result, told([400, 410, 390, 400]))
    assert found is not None
    assert found.expected == pytest.approx(402, rel=0.01)
    assert found.agrees


def test_where_it_can_not_be_known_nothing_is_said() -> None:
    steady = told([1000] * 5)
    assert little_of(measured(waited_ms=500), told([1000, 1000])) is None, "too few samples"
    assert little_of(measured(waited_ms=500), told([1000] * 5, first_s=50)) is None, "none from the load"
    assert little_of(measured(waited_ms=500, consumers=0), steady) is None
    assert little_of(measured(waited_ms=500, queue_type="stream"), steady) is None
