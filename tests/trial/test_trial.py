"""A whole trial of a real system, and its folder, checked again from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from labs.__main__ import command_line
from labs.processes import file_lock
from labs.settings import get_settings
from labs.trial import folder
from labs.trial import operations as op
from labs.trial.checker import Verdict, check
from labs.trial.faults import FAULTS
from labs.trial.history import Event, line_of
from labs.trial.runner import Trial, run
from labs.trial.servers import Servers
from labs.trial.subjects import SUBJECTS

group = pytest.mark.xdist_group("trial")


@pytest.fixture(scope="session")
def tried(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trial that was run."""
    path = tmp_path_factory.mktemp("trials") / "documents"
    said: list[str] = []
    faults = [FAULTS["worker-kill"], FAULTS["connections-closed"]]
    what = Trial(subject=SUBJECTS["documents"], faults=faults, seed=7, seconds=4, folder=path)
    run(what, servers, progress=said.append)
    manifest, events = folder.load(path)
    result = check(events, manifest.promises)
    assert result.verdict == Verdict.VALID, "\n".join([result.why, *result.story])
    for fault in faults:
        assert any(fault.begins in text for text in said)
    return path


def labs(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command_line(list(arguments)), list(arguments), prog_name="labs")
    return result.exit_code, result.output


@pytest.mark.faults
@group
def test_a_trial_leaves_a_history_that_can_be_checked_again(tried: Path) -> None:
    code, output = labs("trial", "--replay", str(tried))
    assert code == 0
    assert "documents: valid: every promise was kept under 2 kinds of faults" in output
    verdict = json.loads((tried / "verdict.json").read_text())
    assert verdict["verdict"] == "valid"
    assert verdict["counts"]["accepted"] > 20
    # What the tap, the database and the broker say is all there
    _, events = folder.load(tried)
    assert {op.SUBMIT, op.PUBLISH, op.DELIVER, op.SETTLE, op.ROW, op.OUTBOX, op.MARK, op.EFFECT, op.DEPTH} <= {
        event.operation for event in events
    }


@pytest.mark.faults
@group
def test_the_report_opens_offline_and_shows_the_faults(tried: Path) -> None:
    labs("trial", "--replay", str(tried))
    page = (tried / "report.html").read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert page.count("data:image/png;base64,") == 2
    assert "<td>worker-kill</td>" in page
    for name in ("timeline.png", "latency.png"):
        assert (tried / name).read_bytes().startswith(b"\x89PNG")


def changed(source: Path, target: Path, events: list[Event]) -> Path:
    target.mkdir()
    (target / folder.MANIFEST).write_bytes((source / folder.MANIFEST).read_bytes())
    lines = [line_of(replace(event, index=number)) for number, event in enumerate(events)]
    (target / folder.HISTORY).write_text("".join(lines))
    return target


@pytest.mark.faults
@group
def test_a_broken_promise_is_exit_code_1_and_nothing_proven_is_2(tried: Path, tmp_path: Path) -> None:
    _, events = folder.load(tried)
    lost = next(event.message for event in events if event.operation == op.OUTBOX)
    kept = [e for e in events if e.message != lost or e.operation not in {op.DELIVER, op.SETTLE, op.EFFECT}]
    code, output = labs("trial", "--replay", str(changed(tried, tmp_path / "invalid", kept)))
    assert code == 1
    assert f"documents: invalid: lost: message {lost} was confirmed and never delivered" in output
    assert "publish ok" in output
    assert "hint: The broker confirmed it and nobody ever got it." in output
    calm = [event for event in events if event.operation != op.FAULT]
    code, output = labs("trial", "--replay", str(changed(tried, tmp_path / "unknown", calm)))
    assert code == 2
    assert "documents: unknown: no fault was seen" in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["letters"], "there are cover-letters, resumes, documents, peers"),
        (["peers", "--faults", "earthquake"], "there is no fault 'earthquake'"),
        (["peers", "--faults", "model-reset"], "peers has nothing that model-reset could break"),
        (["peers", "--faults", ""], "there is no fault"),
        (["peers", "--faults", "leader-kill"], "not on node: leader-kill is for cluster"),
        (["peers", "--on", "cluster", "--faults", "broker-restart"], "broker-restart is for node, compose"),
        (["peers", "--on", "mars"], "there are node, cluster, compose"),
        (["peers", "--seconds", "0"], "greater than or equal to 1"),
        (["--replay", "nowhere"], "nowhere is not the folder of a trial"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_why(arguments: list[str], complaint: str) -> None:
    code, output = labs("trial", *arguments)
    assert code == 2
    assert complaint in " ".join(output.replace("│", " ").split())


def test_two_trials_of_one_checkout_would_break_each_others_servers() -> None:
    with file_lock(get_settings().home / "trial" / "trial.lock", timeout_s=30):
        code, output = labs("trial", "peers", "--seconds", "1", "--faults", "worker-kill")
    assert code == 2
    assert "another trial runs in" in " ".join(output.split())


def test_every_fault_is_listed_with_how_it_begins_and_heals() -> None:
    code, output = labs("trial", "--list")
    assert code == 0
    assert all(name in output for name in FAULTS)
