"""A bench: loads in a virtual host that somebody else owns, results that can be opened, and nothing left of either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labs.broker import VirtualHost
from loadtest.engine.plan import Plan
from loadtest.lessons import Bench, CommandFailed
from loadtest.results import load


@pytest.fixture
def bench(vhost: VirtualHost, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(vhost, tmp_path)
    yield made
    made.close()


def test_a_run_is_kept_with_every_message_and_its_queues_are_removed(bench: Bench, vhost: VirtualHost) -> None:
    seen = []
    run = bench.run(
        Plan(rate=200, duration_s=1, warmup_s=0),
        name="short",
        watch=lambda _: seen.extend(queue.name for queue in vhost.queues()),
    )
    assert set(seen) == {f"load.{run.manifest['run']:08x}.000"}, "it runs in this virtual host"
    assert not vhost.queues()
    assert run.integrity.delivered == len(bench.sent["short"]) == 200
    gaps_s = bench.sent["short"]["intended_s"].diff().dropna()
    assert gaps_s.between(0.00499, 0.00501).all()
    assert (bench.sent["short"]["late_ms"] >= 0).all()
    assert load(bench.newest).manifest == run.manifest


def test_a_command_prints_plain_text_and_leaves_a_folder(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a kernel does
    options = ("--rate=200", "--duration=1", "--warmup=0", "--no-report")
    printed = bench.command("run", "--name=told", *options)
    assert "200 offered, 200 sent, 200 confirmed, 200 delivered, 0 lost" in printed
    assert "\x1b" not in printed
    assert load(bench.newest).name == "told"
    assert bench.newest.is_relative_to(tmp_path)
    bench.close()
    assert not list(tmp_path.iterdir()), "all that it has written was there"


def test_a_command_that_can_not_be_done_says_why(bench: Bench) -> None:
    with pytest.raises(CommandFailed, match="the rate must be more than zero"):
        bench.command("run", "--rate=0")


def test_locust_counts_every_message_of_the_engine(bench: Bench) -> None:
    asked = ("--users=1", "--rate=200", "--arrivals=uniform", "--duration=1", "--warm-up=0")
    run = bench.locust("Firehose", *asked)
    assert (run.requests("publish", "Firehose"), run.requests("deliver", "Firehose"), run.failures) == (200, 200, 0)
    assert run.requests("publish", "Rpc") == 0
