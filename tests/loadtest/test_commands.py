"""The command line as people and scripts use it: processes, exit codes, and what they print and leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labs.broker import VirtualHost
from labs.settings import ROOT
from loadtest.results import load, load_all

Done = subprocess.CompletedProcess[str]
SHORT = ("--duration", "2", "--warmup", "0.5", "--rate", "300")


class CommandLine:
    """Runs `python -m loadtest ...` on a broker, with results in a folder of the test's own."""

    def __init__(self, url: str, management_url: str, results: Path) -> None:
        self.results = results
        self._environment = {
            **os.environ, "LAB_AMQP_URL": url, "LAB_MANAGEMENT_URL": management_url, "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "loadtest", *arguments]
        if arguments[0] in ("run", "capacity", "compare"):
            command += ["--results", str(self.results)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self._environment, stdout=pipe, stderr=pipe, text=True)

    def __call__(self, *arguments: str) -> Done:
        process = self.start(*arguments)
        printed, said = process.communicate(timeout=400)
        return Done([*arguments], process.returncode, printed, said)

    def folder(self) -> Path:
        """The only one, and whole: nothing hidden lies beside it."""
        [found] = self.results.iterdir()
        return found


@pytest.fixture
def loadtest(vhost: VirtualHost, tmp_path: Path) -> CommandLine:
    return CommandLine(vhost.amqp_url, vhost.broker.management_url, tmp_path / "results")


def assert_failed(done: Done, *words: str) -> None:
    """It could not run, and said why in one line."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line


def test_run_counts_every_message_and_keeps_everything(loadtest: CommandLine) -> None:
    done = loadtest("run", *SHORT, "--name", "first", "--objective-ms", "20000", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["integrity"]["delivered"] == told["integrity"]["offered"] == 600
    assert told["objective"]["is_met"]
    assert told["folder"] == str(loadtest.folder())
    run = load(loadtest.folder())
    assert run.integrity.delivered == 600
    assert run.manifest["command"][:4] == ["python", "-m", "loadtest", "run"]
    assert (loadtest.folder() / "report.html").read_text().startswith("<!doctype html>")
    # And a page is made of it again, elsewhere.
    page = loadtest.results.parent / "again.html"
    done = loadtest("report", str(loadtest.folder()), "--output", str(page))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(page)
    assert "600 delivered" in page.read_text()


def test_an_objective_that_was_missed_is_an_exit_code(loadtest: CommandLine) -> None:
    done = loadtest("run", *SHORT, "--objective-ms", "0.001", "--no-report")
    assert done.returncode == 1, done.stderr
    assert "missed" in done.stdout
    assert "600 delivered" in done.stdout
    assert not (loadtest.folder() / "report.html").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_what_there_is_and_removes_its_queues(
    loadtest: CommandLine, vhost: VirtualHost, number: signal.Signals
) -> None:
    process = loadtest.start("run", "--duration", "120", "--rate", "300", "--warmup", "0.5")
    assert process.stderr is not None
    while "received" not in process.stderr.readline():
        assert process.poll() is None
    before = [name for name in vhost.management.virtual_hosts() if f"-{process.pid}-" in name]
    process.send_signal(number)
    printed, said = process.communicate(timeout=240)
    assert process.returncode == 130, said
    assert "partial" in printed
    assert len(before) == 1, "it had a virtual host of its own"
    assert before[0] not in vhost.management.virtual_hosts()
    run = load(loadtest.folder())
    assert run.is_partial
    assert run.integrity.sent == run.integrity.confirmed == run.integrity.delivered > 300
    assert run.integrity.offered < 120 * 300


@pytest.mark.parametrize("command", ["compare classic quorum --rate 200 --duration 12", "capacity --step-seconds 12"])
def test_interrupted_between_many_runs_it_keeps_those_that_were_done(loadtest: CommandLine, command: str) -> None:
    process = loadtest.start(*command.split())
    assert process.stderr is not None
    told_s: list[float] = []
    while told_s == sorted(told_s):  # until they begin again: that is the second run
        line = process.stderr.readline()
        told_s += [float(line.split()[0])] if "received" in line else []
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=240)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "interrupted" in printed
    assert [run.is_partial for run in load_all(loadtest.folder())] == [False, True]
    name = command.split(maxsplit=1)[0].replace("compare", "comparison")
    assert json.loads((loadtest.folder() / f"{name}.json").read_text())["partial"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--rate", "0"), ("the rate must be more than zero",)),
        (("run", "--rate", "fast"), ("--rate fast", "max")),
        (("run", "--size", "10"), ("48 bytes at least",)),
        (("run", "--warmup", "20"), ("warm-up must be shorter",)),
        (("run", "--shape", "replay", "--trace", "/no/such"), ("/no/such is not a trace",)),
        (("compare", "everything"), ("choose from safety",)),
        (("report", "/no/such/folder"), ("holds no run",)),
    ],
    ids=lambda each: "-".join(each)[:30],
)
def test_bad_input_is_one_clear_line(loadtest: CommandLine, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert_failed(loadtest(*arguments), *words)
    assert not loadtest.results.exists() or list(loadtest.results.iterdir()) == []


def test_no_broker_is_one_clear_line(tmp_path: Path) -> None:
    nowhere = CommandLine("amqp://guest:guest@127.0.0.1:1/", "http://127.0.0.1:1", tmp_path / "results")
    assert_failed(nowhere("run"), "no RabbitMQ answers", "start that broker", "***")


def test_wrong_credentials_are_one_clear_line_without_the_password(vhost: VirtualHost, tmp_path: Path) -> None:
    host = vhost.amqp_url.rpartition("@")[2]
    stranger = CommandLine(f"amqp://nobody:pa55word@{host}", "http://127.0.0.1:1", tmp_path / "results")
    done = stranger("run")
    assert_failed(done, "refuses us", "check user, password")
    assert "pa55word" not in done.stderr


def test_a_place_for_results_that_cant_be_written_is_known_at_once(loadtest: CommandLine) -> None:
    loadtest.results.write_text("a file")
    assert_failed(loadtest("run", *SHORT), "can't be written", "--results")


def test_wrong_usage_has_the_code_of_what_could_not_run(loadtest: CommandLine) -> None:
    assert loadtest("run", "--queue-type", "lazy").returncode == 2
    assert loadtest("fly").returncode == 2


def test_capacity_gives_an_interval_with_every_step_kept(loadtest: CommandLine) -> None:
    for _ in range(3):  # a machine that is busy with everything else may disturb both tries of a step
        shutil.rmtree(loadtest.results, ignore_errors=True)
        done = loadtest(
            "capacity", "--start", "50", "--max", "50", "--step-seconds", "3", "--hold-seconds", "3", "--repeats", "1",
            "--objective-ms", "60000", "--json",
        )  # fmt: skip
        told = json.loads(done.stdout)
        if (told["low_per_s"], told["high_per_s"]) == (50, None):
            break
    assert done.returncode == 0, done.stderr
    assert (told["low_per_s"], told["high_per_s"]) == (50, None)
    # A step that a busy machine has disturbed is tried once more.
    phases = [step["phase"] for step in told["steps"]]
    assert list(dict.fromkeys(phases)) == ["bracket", "hold"]
    runs = load_all(loadtest.folder())
    assert [run.integrity.delivered for run in runs] == [150] * len(phases)


def test_every_command_explains_itself_with_examples(loadtest: CommandLine) -> None:
    for command in ("run", "capacity", "compare", "report"):
        done = loadtest(command, "--help")
        assert done.returncode == 0
        for word in ("Examples:", "Exit codes:", f"python -m loadtest {command}"):
            assert word in done.stdout, (command, word)
