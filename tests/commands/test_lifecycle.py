"""up, down and status: harmless when repeated, truthful about what runs, and never the end of a stranger."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import psutil

from labs.processes import is_alive, wait_until
from tests.commands.conftest import CommandLine, assert_failed

ALL = {"stub", "api", "relay", "worker-1", "peers-user", "peers-matching", "peers-collaboration"}


def running(labs: CommandLine) -> dict[str, dict[str, Any]]:
    """What `status` says of the processes, by name."""
    done = labs("status", "--json")
    return {process["name"]: process for process in json.loads(done.stdout)["processes"]}


def pids(labs: CommandLine) -> dict[str, int]:
    return {name: process["pid"] for name, process in running(labs).items()}


def test_up_starts_what_is_missing_and_down_ends_it_all(labs: CommandLine, home: Path) -> None:
    # Given nothing,
    done = labs("status", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["processes"] == []
    # when the lab is started,
    done = labs.process("up")
    # then all of it runs, and says where.
    assert done.returncode == 0, done.stderr
    assert "/docs" in done.stderr
    assert set(running(labs)) == ALL
    assert httpx.get(f"{running(labs)['api']['url']}/readyz", timeout=60).status_code == 200
    facts = json.loads(labs.ok("status", "--json"))
    assert facts["broker"]["version"]
    assert facts["database"]["version"].startswith("18")
    systems = {system["name"]: system for system in facts["systems"]}
    letters, resumes = systems["cover_letters"], systems["resumes"]
    assert letters["jobs"]["pending"] == 0
    generate = {
        "name": "cover-letter.generate",
        "ready": 0,
        "retrying": 0,
        "consumers": 1,
        "deadLetterQueue": "cover-letter.generate.dlq",
        "deadLetters": 0,
    }
    assert letters["queues"][0] == generate
    assert [queue["name"] for queue in resumes["queues"]] == ["resumes.queue", "resumes.webhooks"]
    table = labs.ok("status")
    assert "worker-1" in table
    assert "resumes: 0 pending, 0 processing, 0 completed, 0 failed, 0 cancelled" in table
    assert "careerops:careerops" not in table
    # A second time changes nothing.
    first = pids(labs)
    done = labs("up")
    assert done.returncode == 0
    assert "runs already" in done.stderr
    assert pids(labs) == first
    # When a process has died, it is seen, and `up` starts that one alone, where it was.
    api = running(labs)["api"]
    psutil.Process(api["pid"]).kill()
    assert wait_until(lambda: labs("status").returncode == 3, timeout_s=60)
    assert labs.process("up", "--workers", "2").returncode == 0
    second = pids(labs)
    assert set(second) == ALL | {"worker-2"}
    assert {name for name in first if first[name] != second[name]} == {"api"}
    assert running(labs)["api"]["url"] == api["url"]
    # Down ends all, and a second time changes nothing.
    assert labs("down").returncode == 0
    assert not any(is_alive(pid) for pid in second.values())
    done = labs("down")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing ran" in done.stderr
    assert labs("status").returncode == 3


def test_where_nothing_is_status_says_how_to_start(nowhere: CommandLine) -> None:
    for arguments in (["status"], ["status", "--json"]):
        assert_failed(nowhere(*arguments), 3, "python -m labs up")
    assert nowhere("down").returncode == 0


def test_a_stranger_with_the_pid_of_an_old_process_is_left_alone(labs: CommandLine, home: Path) -> None:
    # Given records of a lab that ended long ago, and a stranger who was given one of its pids,
    with subprocess.Popen(["sleep", "300"]) as stranger:
        records = home / "run" / "processes.json"
        records.parent.mkdir(parents=True)
        old = {"name": "worker-1", "pid": stranger.pid, "created_s": 1_000_000_000.0, "url": None}
        records.write_text(json.dumps([old]))
        # when everything is ended,
        done = labs("down")
        # then that is nothing.
        assert "nothing ran" in done.stderr
        assert running(labs) == {}
        assert stranger.poll() is None
        stranger.kill()


def test_records_that_cant_be_read_are_one_clear_line(labs: CommandLine, home: Path) -> None:
    records = home / "run" / "processes.json"
    records.parent.mkdir(parents=True)
    records.write_text("[{")
    assert_failed(labs("down"), 1, str(records))
    records.unlink()


def test_a_home_that_cant_be_used_is_one_clear_line(labs: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_failed(labs("down", LAB_HOME=str(tmp_path / "file")), 1, "LAB_HOME")


def test_a_broker_that_is_down_stops_up_before_anything_is_started(labs: CommandLine, home: Path) -> None:
    done = labs.process("up", LAB_AMQP_URL="amqp://guest:secret-marker@127.0.0.1:1/")
    assert_failed(done, 1, "LAB_AMQP_URL")
    assert "secret-marker" not in done.stderr
    assert not (home / "run" / "processes.json").exists()


def test_a_process_that_doesnt_start_is_said_with_its_reason_and_the_others_are_ended(
    labs: CommandLine, home: Path
) -> None:
    done = labs.process("up", LAB_RATE_LIMIT="often")
    assert done.returncode == 1
    assert "LAB_RATE_LIMIT" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((home / "run" / "processes.json").read_text()) == []
    assert running(labs) == {}
