"""The guided run's results: read in one call, and one line that names whatever limited them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from loadtest.guided_results import Outcome, keep, limited_by, table
from loadtest.part import Part
from loadtest.place import Place
from loadtest.results import Pending
from loadtest.standing import Standing, judged, together


def part(scenario: str = "WorkQueue", *, limit: tuple[str, str] = ("rate", "all is taken")) -> Part:
    made = Part(scenario, sent=100, confirmed=100, received=90, due=lambda: 110, limit=limit)
    for latency in made.latencies.values():
        latency.record(np.arange(1, 101, dtype=np.int64) * 1_000_000)
    made.note(0.0)
    return made


def outcome(scenario: str, **further: tuple[str, str]) -> Outcome:
    standing = part(scenario, **further).standing()
    plain = {name: value for name, value in standing.told().items() if name != "latencies"}
    series = [{"at_s": float(second), **plain, "per_s": dict.fromkeys(standing.counts, 10.0)} for second in range(5)]
    rows = [{"kind": "publish", "scenario": scenario, "requests": 100, "failures": 1}]
    board = {"scenarios": {scenario: standing.told()}, "series": series, "rows": rows}
    return Outcome.of(scenario, json.loads(json.dumps(board)), seconds=10, exit_code=0)


def test_what_a_worker_tells_is_what_its_master_hears() -> None:
    standing = part().standing()
    heard = Standing.heard(json.loads(json.dumps(standing.told())))
    assert heard.told() == standing.told()
    both = together([standing, heard])
    assert both.counts == {"due": 220, "sent": 200, "confirmed": 200, "received": 180}
    assert both.backlog == 20
    assert both.latencies["confirm"].count == 200


@pytest.mark.parametrize(
    ("due", "sent", "received", "busy", "by"),
    [
        (1000, 1000, 1000, 0.2, "rate"),
        (1000, 800, 800, 0.2, "broker"),
        (1000, 1000, 700, 0.2, "broker"),
        (1000, 800, 800, 0.95, "client"),
        (0, 0, 0, 0.2, "unknown"),
    ],
)
def test_the_verdict_of_a_load_that_runs(due: int, sent: int, received: int, busy: float, by: str) -> None:
    gained = {"due": due, "sent": sent, "confirmed": sent, "received": received}
    assert judged(gained, length_s=5.0, copies=1, busy=busy)[0] == by


def test_one_line_says_what_limited_the_run() -> None:
    assert "the rates asked for, in every scenario" in limited_by([outcome("Rpc"), outcome("Retry")])
    bound = limited_by([outcome("Rpc"), outcome("Firehose", limit=("broker", "its confirms came slowly"))])
    assert bound == "limited by: Firehose broker-bound (Firehose: its confirms came slowly)"


def test_results_are_read_in_one_call(tmp_path: Path) -> None:
    outcomes = [outcome("Rpc"), outcome("Retry")]
    where = Place(url="amqp://h/", virtual_host="/", is_own=False, management=None, rabbitmq="4.3.0", erlang="27")
    with Pending(tmp_path, "guided") as pending:
        keep(pending, outcomes, where=where, is_partial=True)
        folder = pending.commit()
    latency = pd.read_parquet(folder / "latency.parquet")
    assert latency.groupby("scenario")["count"].sum().to_dict() == {"Rpc": 400, "Retry": 400}
    series = pd.read_parquet(folder / "series.parquet")
    assert list(series.query("scenario == 'Rpc'")["sent"]) == [100] * 5
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["partial"]
    assert manifest["versions"]["rabbitmq"] == "4.3.0"
    assert [each["failures"] for each in manifest["scenarios"]] == [1, 1]
    assert {path.suffix for path in folder.iterdir()} >= {".png", ".parquet", ".json"}
    assert table(outcomes, on="a broker").row_count == 2
