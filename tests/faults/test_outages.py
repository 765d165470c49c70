"""Without the broker the API accepts and catches up; without the database it says so; both heal by themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx
import pytest

from labs.processes import wait_until
from tests.faults.faulty import accepted_without_broker
from tests.faults.system import System

pytestmark = pytest.mark.faults

RunSystem = Callable[..., AbstractContextManager[System]]


def readiness(system: System) -> httpx.Response:
    return system.http.get(f"{system.stack.api_url}/readyz")


@accepted_without_broker
def test_with_the_broker_down_the_api_accepts_and_everything_catches_up(run_system: RunSystem) -> None:
    with run_system() as system:
        # Given no broker
        system.kill_broker()
        assert wait_until(lambda: readiness(system).json()["status"] == "degraded", timeout_s=60)
        # When requests are posted, they are accepted
        for number in range(20):
            system.post(number)
        assert system.done() == 0
        assert readiness(system).status_code == 200
        # Then they are done once it is back
        system.node.start()
        system.assert_each_done_exactly_once(20)
        assert wait_until(lambda: readiness(system).json()["status"] == "ok", timeout_s=60)


def test_with_the_database_down_the_api_answers_503_and_recovers(run_system: RunSystem) -> None:
    with run_system() as system:
        system.post(0)
        # Given no database
        system.postgres.kill()
        headers = {"Authorization": f"Bearer {system.stack.token()}"}
        body = system.kind.body(1, "")
        response = system.http.post(f"{system.api_url}{system.kind.route}", json=body, headers=headers)
        # Then it says so, and when to come back
        assert response.status_code == 503
        assert response.headers["Retry-After"]
        assert response.headers["Content-Type"] == "application/problem+json"
        assert readiness(system).status_code == 503
        # And recovers without a restart
        system.postgres.start()
        system.post(1)
        system.assert_each_done_exactly_once(2)
