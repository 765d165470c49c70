"""What limited a run is seen from its figures: waiting for confirms is not the broker's limit, nor the client's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from loadtest.engine.histogram import Histogram
from loadtest.engine.plan import Plan
from loadtest.engine.run import execute
from loadtest.engine.verdict import limit_of
from loadtest.results.verdict import verdict_of


def measured(
    *, confirm_ms: float, confirmed: float, busy: float = 0.3, backlog_per_s: float = 0.0, **changes: Any
) -> Any:
    """As much of a result as the verdict looks at: ten seconds at full speed, the same in each of them."""
    per_s = {"confirmed": confirmed, "confirming_s": confirmed * confirm_ms / 1000}
    series = SimpleNamespace(
        busiest=lambda _, at_s: np.full(len(at_s), busy),
        backlog=lambda at_s: at_s * backlog_per_s,
        total=lambda name, at_s: at_s * per_s[name],
    )
    return SimpleNamespace(
        plan=Plan(**{"rate": None, "duration_s": 10.0, **changes}),
        span_s=(2.0, 9.5),
        load=[SimpleNamespace(blocked_s=0.0)] * 2,
        integrity=SimpleNamespace(sent=10_000),
        rate=lambda _: confirmed,
        series=series,
    )


def test_one_confirm_at_a_time_is_a_wait_for_round_trips() -> None:
    limit = limit_of(measured(confirm_ms=2.0, confirmed=490, window=1))
    assert str(limit).startswith("round-trip-bound: limited by the round trip: one confirm at a time, 2 ms each")
    assert limit.why.endswith("raise the confirm window")


def test_stock_pika_waits_for_each_whatever_its_window_and_is_told_so() -> None:
    limit = limit_of(measured(confirm_ms=0.3, confirmed=3200, window=300, client="pika"))
    assert limit.by == "round-trip"
    assert "one confirm at a time" in limit.why
    assert limit.why.endswith("choose another client")


@pytest.mark.parametrize(
    ("has_time", "by"),
    [(True, "round-trip"), (False, "broker")],
)
def test_a_full_window_of_several_is_the_brokers_limit_unless_it_has_time(has_time: bool, by: str) -> None:
    far_away = measured(confirm_ms=20.0, confirmed=495, window=10)
    limit = limit_of(far_away, broker_has_time=has_time)
    assert limit.by == by
    assert by != "round-trip" or "10 confirms at a time, 20" in limit.why


@pytest.mark.parametrize(
    ("changes", "by"),
    [
        ({"confirmed": 200}, "broker"),  # most of the time nothing is on its way
        ({"busy": 0.95}, "client"),
        ({"backlog_per_s": 100.0}, "broker"),  # deliveries are what is slow
        ({"window": 0, "rate": 5000.0, "confirmed": 0}, "rate"),
    ],
)
def test_other_limits_are_not_taken_for_a_wait(changes: dict[str, Any], by: str) -> None:
    figures = {"confirm_ms": 2.0, "confirmed": 490, "window": 1, **changes}
    assert limit_of(measured(**figures), broker_has_time=True).by == by


@pytest.mark.parametrize("changes", [{"client": "pika"}, {"window": 1}], ids=["stock pika", "a window of one"])
def test_a_run_that_waits_for_each_confirm_says_so(url: str, changes: dict[str, Any]) -> None:
    for _ in range(3):  # a broker that stands still for a moment is the limit of that moment
        result = execute(Plan(**{"rate": None, "duration_s": 3.0, "warmup_s": 1.0, **changes}), url)
        if result.limit.by in ("round-trip", "client"):
            break
    assert result.limit.by in ("round-trip", "client"), result.limit
    if result.limit.by == "round-trip":
        assert "one confirm at a time" in result.limit.why


@pytest.mark.parametrize(
    ("used", "idle", "by"),
    [(0.4, 1.2, "round-trip"), (1.3, 0.5, "broker"), (0.4, 0.0, "broker"), (None, None, "broker")],
    ids=["it had time", "it used more than a core", "it may have waited for a core", "it is elsewhere"],
)
def test_whether_the_broker_had_time_is_seen_on_its_machine(used: float | None, idle: float | None, by: str) -> None:
    told = pd.DataFrame({"at_s": [3.0, 4.0, 5.0], "cpu_cores": used, "idle_cores": idle}, dtype="float64")
    result = measured(confirm_ms=20.0, confirmed=495, window=10)
    result.__dict__.update(
        cpu_s={}, errors=[], censored=0, histograms={"from_sent": Histogram()}, quantile_ms=lambda *_: 1.0
    )
    result.integrity.is_whole = True
    assert verdict_of(result, told, objective_ms=None)["limit"]["by"] == by
