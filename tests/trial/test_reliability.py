"""The page of what was promised, tried and found is made of the trials' folders alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labs.__main__ import command_line
from labs.trial import folder
from labs.trial.checker import Anomaly, check
from labs.trial.checker.promised import PROMISED
from labs.trial.faults import FAULTS
from labs.trial.history import HistoryError, line_of
from labs.trial.reliability import BY_HAND, tried, write_page
from labs.trial.targets import NODE
from tests.trial.histories import CORRUPTIONS, Plan, written
from tests.trial.test_report import MANIFEST

COMMAND = "python -m labs trial all"


def leave(results: Path, name: str, *, wrong: Anomaly | None = None, **manifest: object) -> None:
    """The folder of a trial."""
    made = results / name
    made.mkdir(parents=True)
    events = written([Plan(), Plan(failures=1)])
    if wrong:
        events = CORRUPTIONS[wrong](events, 0)
    run = replace(MANIFEST, **manifest)  # type: ignore[arg-type]
    folder.write_manifest(made, run)
    (made / folder.HISTORY).write_text("".join(map(line_of, events)), encoding="utf-8")
    folder.write_verdict(made, check(events, run.promises))


def cells(page: str, fault: str) -> list[str]:
    """Of each system, in the only table of faults."""
    [row] = [line for line in page.splitlines() if line.startswith(f"| `{fault}`")]
    return [cell.strip() for cell in row.strip("|").split("|")][2:]


def test_every_anomaly_is_a_promise_broken() -> None:
    assert set(PROMISED) == set(Anomaly)


def test_the_page_says_which_seed_of_which_system_met_which_fault(tmp_path: Path) -> None:
    # Given two trials that kept their promises and one that didn't, and a folder of something else
    leave(tmp_path, "one", faults=("worker-kill", "broker-restart"), seed=3)
    leave(tmp_path, "two", faults=("worker-kill",), seed=4)
    leave(tmp_path, "three", faults=("worker-kill",), seed=5, wrong=Anomaly.DONE_TWICE)
    (tmp_path / "a load test").mkdir()
    # When the page is made
    page = tmp_path / "reliability.md"
    write_page(page, tried(tmp_path), command=COMMAND)
    # Then
    text = page.read_text()
    assert f"Made by `{COMMAND}` of 3 trials" in text
    assert cells(text, "worker-kill") == ["**invalid**: 5; valid: 3, 4", "not tried", "not tried", "not tried"]
    assert cells(text, "broker-restart")[0] == "valid: 3"
    assert cells(text, "model-empty") == ["not tried", "not tried", "nothing to break", "nothing to break"]
    on_a_node = [fault for fault in FAULTS.values() if NODE in fault.targets]
    assert len([line for line in text.splitlines() if line.startswith("| `")]) == len(on_a_node)
    [found] = [line for line in text.splitlines() if "| invalid |" in line]
    assert "done twice" in found


def test_each_broker_has_a_table_of_its_own(tmp_path: Path) -> None:
    leave(tmp_path, "one", broker="3.10.8")
    leave(tmp_path, "two", broker="4.3.6", on="compose")
    leave(tmp_path, "three", broker="3.10.8", on="cluster")
    page = tmp_path / "reliability.md"
    write_page(page, tried(tmp_path), command=COMMAND)
    assert [line for line in page.read_text().splitlines() if line.startswith("### ")] == [
        "### On RabbitMQ 3.10.8, `--on cluster`",
        "### On RabbitMQ 3.10.8, `--on node`",
        "### On RabbitMQ 4.3.6, `--on compose`",
    ]


def test_what_people_wrote_below_stays(tmp_path: Path) -> None:
    leave(tmp_path, "one")
    page = tmp_path / "reliability.md"
    write_page(page, tried(tmp_path), command=COMMAND)
    assert page.read_text().endswith(f"{BY_HAND}\n\nNothing yet.\n")
    page.write_text(page.read_text().replace("Nothing yet.", "The relay counted twice."))
    write_page(page, tried(tmp_path), command="another")
    assert page.read_text().endswith(f"{BY_HAND}\n\nThe relay counted twice.\n")
    assert "Made by `another`" in page.read_text()


def test_what_is_no_result_is_said(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="holds no trial"):
        tried(tmp_path / "nowhere")
    leave(tmp_path, "one")
    (tmp_path / "one" / folder.VERDICT).write_text('{"verdict": "valid"}')
    with pytest.raises(HistoryError, match="--replay"):
        tried(tmp_path)


def test_the_command_line_writes_it_after_a_trial(tmp_path: Path) -> None:
    leave(tmp_path / "results", "one")
    page = tmp_path / "reliability.md"
    arguments = ["trial", "--replay", str(tmp_path / "results" / "one"), "--results", str(tmp_path / "results")]
    result = CliRunner().invoke(command_line(arguments), [*arguments, "--document", str(page)], prog_name="labs")
    assert result.exit_code == 0, result.output
    assert "of 1 trial," in page.read_text()


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    leave(tmp_path, "one")
    with pytest.raises(HistoryError, match="can't be written"):
        write_page(tmp_path / "no" / "such" / "folder.md", tried(tmp_path), command=COMMAND)
