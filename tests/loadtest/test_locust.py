"""The scenarios under Locust, on the real broker: every message counted, every queue gone, every failure one line."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pytest

from labs.broker import VirtualHost
from labs.processes import wait_until
from tests.loadtest.locust import command, environment, page, run

#: No run time is given: Locust ends when the schedules do, however long a busy machine takes to start.
FEW = ["--users=4", "--spawn-rate=10", "--duration=2", "--rate=100", "--warm-up=0.5"]


@pytest.fixture
def strangers(url: str) -> list[str]:
    """Queues that were there before, and have to stay."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    names = ["load.not-yours", "other"]
    for name in names:
        connection.channel().queue_declare(name, durable=True)
    connection.close()
    return names


@dataclass(frozen=True)
class Case:
    """A scenario, and the rows that count what is sent and what arrives."""

    scenario: str
    sent: str = "publish"
    arrived: tuple[str, ...] = ("done",)
    copies: int = 1


PLAIN = [
    Case("WorkQueue"),
    Case("FanOut", arrived=("receive",), copies=2),
    Case("Rpc", sent="call", arrived=("call",)),
    Case("Retry", arrived=("done", "dead")),
    Case("Idempotent"),
]


@pytest.mark.parametrize(
    "asked",
    [
        ("--failing=0.6", PLAIN),
        (
            "--queue-type=quorum --consumers=3 --queues=3 --ack-every=1",
            [Case("WorkQueue"), Case("FanOut", arrived=("receive",), copies=3)],
        ),
        ("--queue-type=stream", [Case("FanOut", arrived=("receive",), copies=2)]),
    ],
    ids=["plain", "quorum", "stream"],
)
def test_scenarios_answer_for_every_message_and_leave_nothing_behind(
    url: str, vhost: VirtualHost, tmp_path: Path, strangers: list[str], asked: tuple[str, list[Case]]
) -> None:
    arguments, cases = asked
    users = f"--users={2 * len(cases)}"
    ended = run(url, tmp_path, *FEW, users, *arguments.split(), *(case.scenario for case in cases))
    assert (ended.exit_code, ended.failures) == (0, 0), ended.log
    for case in cases:
        counts = ended.counts(case.scenario)
        # An open model: what the schedule asked for was sent, at the rate asked for, whatever the answers took.
        due = counts["due"]
        assert due == counts["sent"] == ended.requests(case.sent, case.scenario)
        assert 0.5 < due / (2 * 100 / len(cases)) < 1.7, "two seconds of a share of the rate"
        arrived = sum(ended.requests(kind, case.scenario) for kind in case.arrived)
        assert counts["received"] == due * case.copies == arrived
        latencies = ended.board["scenarios"][case.scenario]["latencies"]
        assert 0 < sum(latencies["from_intended"]["counts"]) < counts["received"], "the warm-up is left out"
    if cases is PLAIN:
        assert ended.requests("dead", "Retry") > 0
        assert ended.requests("again", "Idempotent") > 0
        assert ended.requests("once", "Idempotent") == 1
    assert sorted(queue.name for queue in vhost.queues()) == sorted(strangers)
    assert vhost.exchanges() == []


def test_the_same_seed_asks_for_the_same_messages(url: str, tmp_path: Path) -> None:
    steady = ["--users=1", "--duration=1", "--rate=300", "WorkQueue"]
    first, again = (run(url, tmp_path, "--seed=7", *steady) for _ in range(2))
    other = run(url, tmp_path, "--seed=8", *steady)
    assert first.counts("WorkQueue") == again.counts("WorkQueue") != other.counts("WorkQueue")


@pytest.mark.parametrize("distributed", [[], ["--processes", "2"]], ids=["alone", "distributed"])
def test_totals_are_the_engines_to_the_last_message(
    url: str, vhost: VirtualHost, tmp_path: Path, distributed: list[str]
) -> None:
    users = 2 if distributed else 1
    asked = [
        f"--users={users}",
        "--spawn-rate=10",
        "--rate=3000",
        "--arrivals=uniform",
        "--duration=2",
        "--warm-up=0.5",
    ]
    ended = run(url, tmp_path, *asked, *distributed, "Firehose")
    assert (ended.exit_code, ended.failures) == (0, 0), ended.log
    assert ended.counts("Firehose") == dict.fromkeys(("due", "sent", "confirmed", "received"), 6000)
    assert ended.requests("publish", "Firehose") == ended.requests("deliver", "Firehose") == 6000
    histograms = ended.board["scenarios"]["Firehose"]["latencies"]
    row = ended.rows[("publish", "Firehose")]
    assert sum(row["response_times"].values()) == sum(histograms["confirm"]["counts"]) == 4500
    assert row["num_none_requests"] == 1500
    assert ended.board["scenarios"]["Firehose"]["limit"][0] in ("rate", "broker", "client")
    assert vhost.queues() == []


def test_a_firehose_cut_short_is_exact_too(url: str, vhost: VirtualHost, tmp_path: Path) -> None:
    asked = ["--users=2", "--spawn-rate=10", "--rate=500", "--duration=120", "--processes", "2"]
    # A machine that is busy with everything else may need the first seconds for the start alone.
    for seconds in (8, 60):
        ended = run(url, tmp_path, *asked, f"--run-time={seconds}s", "Firehose")
        if ended.requests("publish", "Firehose") > 100:
            break
    counts = ended.counts("Firehose")
    assert ended.failures == 0, ended.log
    assert 100 < ended.requests("publish", "Firehose") == counts["confirmed"] == counts["sent"]
    assert ended.requests("deliver", "Firehose") == counts["received"] == counts["sent"]
    assert vhost.queues() == []


def test_workers_share_the_rate_of_a_pattern(url: str, vhost: VirtualHost, tmp_path: Path) -> None:
    ended = run(url, tmp_path, *FEW, "--arrivals=uniform", "--processes", "2", "WorkQueue")
    counts = ended.counts("WorkQueue")
    assert counts["due"] == counts["received"] == ended.requests("done", "WorkQueue") == 200
    assert vhost.queues() == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--rate=0", "WorkQueue"], "--rate must be more than zero"),
        (["--rate=max", "WorkQueue"], "WorkQueue needs a rate"),
        (["--message-size=1", "Firehose"], "48 bytes at least"),
        (["--users=9", "--spawn-rate=9", "Firehose"], "at most 4 in one process"),
        (["--host=http://127.0.0.1:1", "CoverLetter"], "python -m labs up"),
    ],
    ids=["rate", "full-speed", "size", "engines", "service"],
)
def test_what_can_not_be_is_one_line_and_exit_code_1(
    url: str, vhost: VirtualHost, tmp_path: Path, arguments: list[str], why: str
) -> None:
    ended = run(url, tmp_path, "--users=1", *arguments)
    assert ended.exit_code == 1
    [line] = [line for line in ended.log.splitlines() if "ERROR" in line]
    assert why in line
    assert "Traceback" not in ended.log
    assert vhost.queues() == []


@pytest.mark.parametrize(
    ("address", "distributed", "why"),
    [
        ("amqp://guest:guest@127.0.0.1:1/", [], "no RabbitMQ answers"),
        ("amqp://guest:guest@127.0.0.1:1/", ["--processes", "2"], "no RabbitMQ answers"),
        ("amqp://nobody:wrong@{host}/", [], "refuses us"),
    ],
    ids=["away", "away-distributed", "refuses"],
)
def test_without_a_broker_it_is_one_line_and_exit_code_1(
    url: str, tmp_path: Path, distributed: list[str], address: str, why: str
) -> None:
    host = url.rpartition("@")[2].partition("/")[0]
    ended = run(address.format(host=host), tmp_path, "--users=1", *distributed, "WorkQueue")
    assert ended.exit_code == 1
    [line] = [line for line in ended.log.splitlines() if "ERROR" in line]
    assert why in line
    assert "LAB_AMQP_URL" in line


def test_queues_go_when_it_is_interrupted(url: str, vhost: VirtualHost) -> None:
    asked = ["--headless", "--users=2", "--spawn-rate=10", "--rate=50", "WorkQueue", "FanOut", "Firehose"]
    process = subprocess.Popen(command(*asked), env=environment(url), stderr=subprocess.DEVNULL)
    assert wait_until(lambda: len(vhost.queues()) >= 2, timeout_s=120)
    os.kill(process.pid, signal.SIGTERM)
    process.wait(120)
    assert wait_until(lambda: not vhost.queues(), timeout_s=60)


def test_the_broker_tab_shows_rates_backlog_latencies_and_the_verdict(url: str) -> None:
    steady = ["--arrivals=uniform", "--warm-up=0.5", "Firehose"]
    with page(url, "--autostart", "--users=1", "--rate=200", "--duration=120", *steady) as shown:
        # Locust's own page has the tab, and the script that fills it.
        assert '"extended_tabs": [{"key": "broker", "title": "Broker"}]' in shown.text("/")
        assert "broker/tab.js" in shown.text("/")
        assert "iframe" in shown.text("/broker/tab.js")
        assert "Backlog" in shown.text("/broker")

        def is_steady() -> bool:
            nonlocal data
            data = shown.json("/broker/data")
            total = data["total"]
            # Its parts are told by several processes, at moments of their own.
            seen = all(each["count"] > 100 for each in total["latencies"].values()) and len(data["series"]["at_s"]) > 2
            return seen and total["limit"]["by"] == "rate" and 150 < total["per_s"]["due"] < 250 > total["backlog"]

        data: dict[str, Any] = {}
        assert wait_until(is_steady, timeout_s=90), data
        total = data["total"]
        assert [each["scenario"] for each in data["scenarios"]] == ["Firehose"]
        assert total["counts"]["sent"] >= total["counts"]["confirmed"] > 100
        assert set(total["latencies"]) == {"send_delay", "confirm", "from_intended", "from_sent"}
        for latency in total["latencies"].values():
            assert sum(latency["bars"]) == latency["count"] > 0
            assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]
        assert len(data["series"]["at_s"]) == len(data["series"]["backlog"]) > 1
        assert shown.json("/stats/requests")["state"] in ("running", "spawning")
