"""Results are whole or not there, and what is read again is what was measured, to the last message."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import pytest

import labs
from labs.settings import Settings
from loadtest.doing import do
from loadtest.engine.histogram import merged
from loadtest.engine.plan import Plan
from loadtest.place import Place, place
from loadtest.results import Pending, ResultsError, Run, load, load_all
from loadtest.results.manifest import versions
from loadtest.results.plots import plot_latency, plot_timeline
from loadtest.results.report import report_html

PLAN = Plan(rate=400, duration_s=3.0, warmup_s=0.5)


@pytest.fixture(scope="module")
def run(settings: Settings, broker: object) -> Run:
    with place(settings) as where:
        return do(PLAN, where, name="a run", objective_ms=10_000, command=["python", "-m", "loadtest", "run"])


def saved(run: Run, results: Path) -> Path:
    with Pending(results, run.name) as pending:
        pending.add(run)
        return pending.commit()


def test_versions_are_known_where_the_lab_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(name: str) -> str:
        if name == "rabbitmq-lab":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("loadtest.results.manifest.version", installed)
    where = Place("amqp://localhost", "/", is_own=False, management=None, rabbitmq="4.3.0", erlang="27")
    assert versions(where)["rabbitmq-lab"] == labs.__version__


def test_what_is_read_again_is_what_was_measured(run: Run, tmp_path: Path) -> None:
    folder = saved(run, tmp_path)
    again = load(folder)
    assert folder.name.endswith("Z-a-run")
    assert (again.manifest, again.integrity, again.verdict) == (run.manifest, run.integrity, run.verdict)
    for name in ("series", "samples", "latency", "broker"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(run, name))
    assert load_all(folder)[0].name == "a run"


def test_histograms_of_stored_runs_merge_exactly(run: Run, tmp_path: Path) -> None:
    again = load(saved(run, tmp_path))
    for name, histogram in again.histograms.items():
        both = merged([histogram, run.histograms[name]])
        assert both.count == 2 * histogram.count > 0
        assert (both.total_ns, both.most_ns) == (2 * histogram.total_ns, run.histograms[name].most_ns)
        assert both.quantile_ms(0.99) == run.quantile_ms(name, 0.99)


def test_the_series_holds_every_message(run: Run) -> None:
    assert (run.series["offered_per_s"] * run.series["length_s"]).sum() == pytest.approx(1200)
    for column in ("sent_per_s", "confirmed_per_s", "received_per_s"):
        assert (run.series[column] * run.series["length_s"]).sum() == pytest.approx(run.integrity.delivered)
    assert run.series["p99_ms"].notna().any()


def test_the_broker_was_watched_and_agrees_with_our_own_clocks(run: Run) -> None:
    # On a busy machine an answer may take longer than the load.
    during = run.broker[run.broker["at_s"] > 0]
    assert len(during) >= 1
    assert (during["memory_bytes"] > 10**7).all()
    assert run.manifest["versions"]["rabbitmq"][0].isdigit()
    assert run.manifest["broker"]["virtual_host_of_its_own"]
    assert ":***@" in run.manifest["broker"]["url"]


def test_verdict_and_manifest_are_plain_json(run: Run, tmp_path: Path) -> None:
    folder = saved(run, tmp_path)
    verdict = json.loads((folder / "verdict.json").read_text(), parse_constant=pytest.fail)
    assert verdict["limit"]["by"] in {"rate", "broker", "client"}
    assert verdict["objective"] == {"p99_ms": 10_000, "is_met": True}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["arguments"] == PLAN.as_dict()
    assert manifest["machine"]["cores"] >= 1


def test_messages_that_never_came_are_never_forgotten(run: Run, tmp_path: Path) -> None:
    # Given a run most of whose messages never came
    verdict = json.loads(json.dumps(run.verdict))
    verdict["censored"] = 10 * run.histograms["from_intended"].count
    verdict["latency"]["from_intended"]["p99_ms"] = "inf"
    again = load(saved(dataclasses.replace(run, verdict=verdict), tmp_path))
    # Then its percentiles are infinite, in the picture and on the page as well.
    assert math.isinf(again.quantile_ms("from_intended", 0.5))
    assert "inf" in plot_latency(again).text
    assert "never" in report_html([again])


def test_a_page_needs_nothing_but_itself(run: Run) -> None:
    page = report_html([run])
    assert page.count('src="data:image/png;base64,') == 2
    assert page.count("src=") == page.count('src="data:')
    assert "http://" not in page
    assert "https://" not in page
    assert "1,200 delivered" in page


def test_pictures_say_in_words_what_they_show(run: Run) -> None:
    assert re.search(r"offered: median [34]\d\d messages per second", plot_timeline(run).text)
    text = plot_latency(run).text
    assert "p99.9 " in text
    assert "p99.99" not in text, "a thousand messages don't tell a 99.99th percentile"
    other = dataclasses.replace(run, manifest={**run.manifest, "name": "another"})
    assert [line.partition(":")[0] for line in plot_latency(run, other).text.splitlines()][1:] == ["a run", "another"]


def test_without_a_commit_nothing_stays(run: Run, tmp_path: Path) -> None:
    with Pending(tmp_path, "x") as pending:
        pending.add(run)
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_two_runs_of_one_second_are_kept_apart(run: Run, tmp_path: Path) -> None:
    folders = {saved(run, tmp_path) for _ in range(3)}
    assert len(folders) == 3
    assert all(load(folder).integrity == run.integrity for folder in folders)


@contextmanager
def most_bytes_of_a_file(limit: int) -> Iterator[None]:
    """Like a full disk: the kernel refuses to write on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [0, 500, 6000])
def test_a_full_disk_is_one_clear_message_and_leaves_nothing(run: Run, tmp_path: Path, limit: int) -> None:
    def save() -> None:
        with Pending(tmp_path, "x") as pending, most_bytes_of_a_file(limit):
            pending.add(run)
            pending.commit()

    with pytest.raises(ResultsError, match=r"can't be written.*File too large.*--results"):
        save()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cant_be_made_is_known_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="can't be written"):
        Pending(tmp_path / "file", "x")


@pytest.mark.parametrize("missing", ["manifest.json", "verdict.json", "series.parquet", "histograms.parquet"])
def test_a_folder_that_is_not_whole_is_not_read(run: Run, tmp_path: Path, missing: str) -> None:
    folder = saved(run, tmp_path)
    (folder / missing).unlink()
    with pytest.raises(ResultsError, match="not the folder of a whole run"):
        load(folder)


def test_a_damaged_file_is_not_read(run: Run, tmp_path: Path) -> None:
    folder = saved(run, tmp_path)
    (folder / "series.parquet").write_bytes((folder / "series.parquet").read_bytes()[:100])
    with pytest.raises(ResultsError, match="not the folder of a whole run"):
        load(folder)
