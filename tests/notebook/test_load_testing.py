"""Chapter 10's broker stands still once and goes on, and its checker tells one mistake from the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labs.broker import Node, VirtualHost, virtual_host
from labs.notebook.exercises.load_testing import check_load
from labs.notebook.experiments.load_testing import Pause, closed_loop
from labs.programs import Program
from labs.settings import load_settings

Publish = Callable[[], None]


@pytest.fixture(scope="module")
def place(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, VirtualHost]]:
    """A node that nobody else uses, and a virtual host on it."""
    home = tmp_path_factory.mktemp("node")
    node = Node(home / "broker")
    node.start()
    settings = load_settings(home=home, amqp_url=node.amqp_url, management_url=node.management_url)
    with virtual_host("load", settings=settings) as vhost:
        yield node, vhost
    node.stop()


def test_a_loop_sends_one_message_into_a_pause_and_nothing_more(place: tuple[Node, VirtualHost]) -> None:
    node, vhost = place
    pause = Pause(node, seconds=2.0)
    with Program(closed_loop, url=vhost.amqp_url, rate=100, count=600) as loop:
        loop.wait_for("began")
        pause.begin()
        pause.begin()  # it stands still once
        pause.join()
        [ended] = loop.wait_for("ended")
    sent_s = [began_s for began_s, _ in ended["took_ms"]]
    assert len(sent_s) == 600
    assert 2.0 <= pause.length_s < 20
    # One that was on its way when it began, and one that went in at once.
    assert sum(pause.began_s < at_s < pause.ended_s - 0.1 for at_s in sent_s) <= 2
    assert max(took_ms for _, took_ms in ended["took_ms"]) > 1_600


def test_a_node_that_does_not_run_can_not_stand_still(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="call start"):
        Pause(Node(tmp_path / "broker"), seconds=1)


def too_few(publish: Publish, *, rate: float, count: int) -> list[float]:
    publish()
    return [1.0]


def from_sending(publish: Publish, *, rate: float, count: int) -> list[float]:
    """Keeps the schedule, but measures as the loop does."""
    took_ms, start_s = [], time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start_s + number / rate - time.monotonic()))
        began_s = time.monotonic()
        publish()
        took_ms.append((time.monotonic() - began_s) * 1000)
    return took_ms


def without_waiting(publish: Publish, *, rate: float, count: int) -> list[float]:
    """Measures from the start of everything."""
    took_ms, start_s = [], time.monotonic() - 1
    for _ in range(count):
        publish()
        took_ms.append((time.monotonic() - start_s) * 1000)
    return took_ms


@pytest.mark.parametrize(
    ("load", "told"),
    [(too_few, "asked for, 1 went"), (from_sending, "From which moment"), (without_waiting, "fall behind")],
)
def test_the_checker_says_what_is_wrong(
    place: tuple[Node, VirtualHost], load: Callable[..., list[float]], told: str
) -> None:
    verdict = check_load(*place, load)
    assert verdict.startswith("Not yet")
    assert told in verdict
