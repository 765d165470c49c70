"""Locust under Compose: as many workers as are asked for, and totals that are the broker's to the last message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from labs.processes import wait_until
from tests.compose.project import Project

WORKERS = 2


class Locust:
    """The page of a running Locust, as its form and its tables use it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def stats(self) -> dict[str, Any]:
        """What its page shows, of all workers together."""
        found: dict[str, Any] = self._client.get("/stats/requests").raise_for_status().json()
        return found

    def board(self, scenario: str) -> dict[str, Any]:
        """What its Broker tab shows of a scenario."""
        shown = self._client.get("/broker/data").raise_for_status().json()["scenarios"]
        [found] = [each for each in shown if each["scenario"] == scenario]
        return dict(found)

    def run(self, scenario: str, **asked: object) -> dict[tuple[str, str], dict[str, Any]]:
        """Start it with two users from the form, and wait for its end; the rows by method and name."""
        form = {"user_classes": scenario, "user_count": WORKERS, "spawn_rate": 10, "host": "http://api:8000", **asked}
        answer = self._client.post("/swarm", data=form).raise_for_status().json()
        assert answer["success"], answer
        # Until it begins its state is still that of the run before.
        assert wait_until(lambda: self.stats()["state"] != "stopped", timeout_s=30), self.stats()
        assert wait_until(lambda: self.stats()["state"] == "stopped", timeout_s=60), self.stats()
        return {(row["method"], row["name"]): row for row in self.stats()["stats"]}


@pytest.fixture(scope="module")
def locust(project: Project) -> Iterator[Locust]:
    project.up(profile="load", scale=f"locust-worker={WORKERS}")
    host, port = project.address("locust-master", 8089)
    assert host == "127.0.0.1"
    with httpx.Client(base_url=f"http://{host}:{port}", timeout=10, trust_env=False) as client:
        found = Locust(client)
        assert wait_until(lambda: len(found.stats()["workers"]) == WORKERS, timeout_s=30)
        yield found


def test_every_worker_is_an_engine_and_the_totals_are_exact(locust: Locust) -> None:
    rows = locust.run("Firehose", rate="2000", arrivals="uniform", duration="3", run_time="60s")
    counts = locust.board("Firehose")["counts"]
    assert counts == dict.fromkeys(("due", "sent", "confirmed", "received"), 6000)
    for method in ("publish", "deliver"):
        row = rows[(method, "Firehose")]
        assert (row["num_requests"], row["num_failures"]) == (6000, 0)


def test_letters_go_through_the_stack_until_they_are_there(locust: Locust) -> None:
    rows = locust.run("CoverLetter", rate="4", arrivals="uniform", duration="3", run_time="60s")
    assert locust.board("CoverLetter")["counts"]["received"] == 12
    assert sum(row["num_failures"] for row in rows.values()) == 0
