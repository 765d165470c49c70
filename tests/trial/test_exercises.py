"""A starter fails with what its chapter teaches, its solution passes, and no work of a learner is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labs.__main__ import command_line
from labs.broker import Broker
from labs.errors import ConfigurationError
from labs.processes import is_alive, wait_until
from labs.settings import ROOT, Settings
from labs.trial.bench import Patience
from labs.trial.checker import Anomaly, Verdict
from labs.trial.exercises import EXERCISES, Outcome, Workspace, exercise, run_exercise

SEEDS = range(1, 6)
#: A machine that stands still is no program that gets stuck.
PATIENCE = Patience(still_s=15.0, endless_s=60.0, start_s=120.0)

#: One exercise at a time can be run by the command.
the_command = pytest.mark.xdist_group("exercise command")
each = pytest.mark.parametrize("number", EXERCISES)


def each_run(*, always: int) -> pytest.MarkDecorator:
    """Every exercise with every seed; the first `always` of them in the short form, too."""
    runs = [
        pytest.param(number, seed, marks=() if seed in SEEDS[:always] else pytest.mark.long)
        for number in EXERCISES
        for seed in SEEDS
    ]
    return pytest.mark.parametrize(("number", "seed"), runs)


def run(number: str, kind: str, seed: int, folder: Path) -> Outcome:
    chosen = exercise(number)
    return run_exercise(chosen, chosen.folder / f"{kind}.py", folder=folder / kind, seed=seed, patience=PATIENCE)


# The chapters run all starters, too.
@pytest.mark.faults
@each_run(always=0)
def test_a_starter_fails_with_what_its_chapter_teaches(broker: Broker, tmp_path: Path, number: str, seed: int) -> None:
    outcome = run(number, "starter", seed, tmp_path)
    assert outcome.verdict is Verdict.INVALID, outcome.words
    assert outcome.result is not None
    found, chosen = set(map(Anomaly, outcome.result.anomalies)), exercise(number)
    assert chosen.starter in found <= {chosen.starter} | chosen.along, outcome.words


@pytest.mark.faults
@each_run(always=1)
def test_a_solution_survives(broker: Broker, tmp_path: Path, number: str, seed: int) -> None:
    outcome = run(number, "solution", seed, tmp_path)
    assert outcome.survives, outcome.words


@pytest.mark.faults
def test_a_program_that_does_not_start_is_unknown_and_shows_its_traceback(broker: Broker, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("def main(:\n")
    outcome = run_exercise(exercise("01"), broken, folder=tmp_path / "run")
    assert outcome.verdict is Verdict.UNKNOWN
    assert "SyntaxError" in outcome.words
    assert "broken.py" in outcome.words


@pytest.mark.faults
def test_a_program_that_never_commits_is_told_so(broker: Broker, tmp_path: Path) -> None:
    starter, forgetful = exercise("14").text("starter.py"), tmp_path / "forgetful.py"
    assert ", autocommit=True" in starter
    forgetful.write_text(starter.replace(", autocommit=True", ""))
    outcome = run_exercise(exercise("14"), forgetful, folder=tmp_path / "run")
    assert outcome.verdict is Verdict.UNKNOWN
    assert "forgetful.py: it holds a lock" in outcome.words


@pytest.mark.faults
def test_a_worker_that_acks_what_it_has_not_done_is_frozen_and_judged(broker: Broker, tmp_path: Path) -> None:
    solution, hasty = exercise("09").text("solution.py"), tmp_path / "hasty.py"
    early = solution.replace("        channel.basic_ack(method.delivery_tag)\n", "").replace(
        "on_job)", "on_job, auto_ack=True)"
    )
    assert early != solution
    hasty.write_text(early)
    outcome = run_exercise(exercise("09"), hasty, folder=tmp_path / "run")
    assert outcome.verdict is Verdict.INVALID, outcome.words
    assert outcome.result is not None
    assert Anomaly.ACK_BEFORE_COMMIT in set(map(Anomaly, outcome.result.anomalies))


#: Has a child of its own, and says so. Both stay until they are killed, or an alarm ends them.
PARENT = """
import pathlib, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.alarm(600); signal.pause()"])
told = pathlib.Path(f"child-{child.pid}")  # there are two of us
told.write_text(str(child.pid))
told.rename("child")
signal.alarm(600)
signal.pause()
"""


@pytest.mark.faults
@the_command
def test_sigterm_ends_the_programs_and_their_children(broker: Broker, tmp_path: Path) -> None:
    program, child = tmp_path / "parent.py", tmp_path / "child"
    program.write_text(PARENT)
    command = [sys.executable, "-m", "labs", "exercise", "01", "--file", str(program), "--results", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        assert wait_until(child.exists, timeout_s=60)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) == 128 + signal.SIGTERM
    assert wait_until(lambda: not is_alive(int(child.read_text())), timeout_s=10)


@each
def test_an_exercise_has_instructions_and_graded_hints(number: str) -> None:
    chosen = exercise(number)
    assert chosen.text("instructions.md").startswith(f"# {number} ")
    assert f"python -m labs exercise {number}" in chosen.text("instructions.md")
    assert len(chosen.hints()) >= 3
    assert all(chosen.hints())


WORK = exercise("01")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "exercises")


def test_the_first_use_gives_the_starter_and_a_reset_loses_nothing(workspace: Workspace) -> None:
    mine = workspace.file(WORK)
    assert mine.read_text() == WORK.text("starter.py")
    assert workspace.reset(WORK) is None
    mine.write_text("mine")
    assert workspace.file(WORK).read_text() == "mine"
    kept = [workspace.reset(WORK)]
    mine.write_text("mine, again")
    kept.append(workspace.reset(WORK))
    assert [path.read_text() for path in kept] == ["mine", "mine, again"]
    assert mine.read_text() == WORK.text("starter.py")


def test_no_test_uses_a_learners_own_files() -> None:
    assert Workspace().files != Settings.model_fields["exercises"].default


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"LAB_EXERCISES=.*file can't be used"):
        Workspace(tmp_path / "file").file(WORK)


def test_hints_come_one_by_one_and_a_reset_begins_with_the_first(workspace: Workspace) -> None:
    assert [workspace.next_hint(WORK) for _ in range(4)] == [(1, 3), (2, 3), (3, 3), (3, 3)]
    workspace.reset(WORK)
    assert workspace.next_hint(WORK) == (1, 3)


def test_progress_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    assert workspace.standing(WORK).text == "not begun"
    workspace.record(WORK, Outcome(Verdict.INVALID, "", tmp_path))
    assert workspace.standing(WORK).text == "tried 1x"
    workspace.record(WORK, Outcome(Verdict.VALID, "", tmp_path))
    workspace.record(WORK, Outcome(Verdict.INVALID, "", tmp_path))
    assert workspace.standing(WORK).text == "solved"
    assert workspace.standing(exercise("02")).text == "not begun"


@the_command
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["10"], "there is no exercise '10'; there are 01, 02"),
        (["hint", "x"], "there is no exercise 'x'"),
        (["hint"], "say a number"),
        (["nonsense", "01"], "say a number"),
        (["01", "--file", "nowhere.py"], "nowhere.py is not a file"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_why(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    asked = ["exercise", *arguments, "--results", str(tmp_path)]
    result = CliRunner().invoke(command_line(asked), asked, prog_name="labs")
    assert result.exit_code == 2
    assert complaint in " ".join(result.output.replace("│", " ").split())
