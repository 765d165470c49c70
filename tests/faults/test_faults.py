"""300 jobs under load while parts of the system fail: each ends completed exactly once, no queue keeps anything."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from labs.broker import Management
from labs.errors import BrokerError
from labs.llm.dials import Constant, ErrorRates
from labs.processes import wait_until
from tests.faults.duplicator import duplicating
from tests.faults.system import System, repeatedly

pytestmark = pytest.mark.faults

RunSystem = Callable[..., AbstractContextManager[System]]

#: A third of the calls, and every way the stub knows.
EVERY_ERROR = ErrorRates(
    rate_limit=0.045,
    server_error=0.045,
    timeout=0.04,
    reset=0.045,
    slow_drip=0.04,
    garbage=0.045,
    empty=0.04,
)


def test_the_worker_is_killed_three_times_once_between_commit_and_ack(run_system: RunSystem) -> None:
    with run_system(workers=0) as system:
        first = system.stack.start_worker(failpoints="job.committed=kill@40")
        with system.load():
            # Given a worker that dies right after a commit, before its ack
            assert first.wait(timeout_s=120) == -signal.SIGKILL
            # When two more are killed with their hands full
            for completed in (100, 200):
                worker = system.stack.start_worker()
                system.wait_completed(completed)
                worker.kill()
            system.stack.start_worker()
        # Then
        system.assert_each_completed_exactly_once()


def test_the_broker_is_killed_and_comes_back(run_system: RunSystem) -> None:
    with run_system() as system:
        with system.load():
            system.wait_completed(60)
            system.kill_broker()
            system.node.start()
        system.assert_each_completed_exactly_once()


def test_the_api_is_killed_and_comes_back(run_system: RunSystem) -> None:
    with run_system() as system:
        with system.load():
            system.wait_completed(60)
            system.stack.of("api")[0].kill()
            system.stack.start_api()
        system.assert_each_completed_exactly_once()
        assert system.stack.stub.summary().max_calls_per_request_id == 1


def test_the_database_is_restarted(run_system: RunSystem) -> None:
    with run_system() as system:
        with system.load():
            system.wait_completed(60)
            system.postgres.stop()
            system.postgres.start()
        system.assert_each_completed_exactly_once()


def test_all_connections_are_closed_by_force_again_and_again(run_system: RunSystem) -> None:
    with run_system() as system:

        def close_all() -> None:
            # A connection may just have gone; and a busy broker may take too long to list them.
            with contextlib.suppress(BrokerError), Management(system.node.management_url) as management:
                for connection in management.connections(system.vhost):
                    with contextlib.suppress(BrokerError):
                        management.close_connection(connection.name)

        with system.load(), repeatedly(close_all, every_s=1.0):
            system.wait_completed(200)
        system.assert_each_completed_exactly_once()


def test_the_queues_are_deleted_with_what_is_in_them(run_system: RunSystem) -> None:
    with run_system() as system:
        with system.load():
            system.wait_completed(60)
            with Management(system.node.management_url) as management:
                for queue in system.kind.queues:
                    management.delete_queue(system.vhost, queue)
        system.assert_each_completed_exactly_once()


def test_the_model_fails_three_calls_in_ten_in_every_way(run_system: RunSystem) -> None:
    with run_system() as system:
        system.stack.stub.set_dials(errors=EVERY_ERROR, seed=7, retry_after_s=0.1)
        with system.load():
            pass
        # Four attempts leave about one job in a hundred failed, as promised: an operator sends those back.
        system.wait_ended()
        redrive_until_completed(system)
        system.assert_each_completed_exactly_once()
        summary = system.stack.stub.summary()
        assert all(summary.outcomes[kind] > 0 for kind in ErrorRates.model_fields)


def redrive_until_completed(system: System) -> None:
    """Do what an operator does: `labs dlq redrive`, until nothing is failed."""
    for _ in range(10):
        subprocess.run(
            [sys.executable, "-m", "labs", "dlq", "redrive", system.kind.command[1], "--yes"],
            env=system.stack.environment(),
            check=True,
            capture_output=True,
        )
        wait_until(lambda: system.count("completed") == len(system.jobs), timeout_s=3)
        if system.count("completed") == len(system.jobs):
            return
    raise AssertionError(system.describe())


def test_the_relay_is_killed_between_confirm_and_mark(run_system: RunSystem) -> None:
    with run_system() as system:
        # Given two relays, one of which dies with a batch that is confirmed but not marked
        dying = system.stack.start_relay(failpoints="relay.confirmed=kill@5")
        with system.load():
            assert dying.wait(timeout_s=120) == -signal.SIGKILL
        # Then its messages are published again, and have one effect
        system.assert_each_completed_exactly_once()
        assert system.rows("SELECT count(*) AS n FROM outbox WHERE publishes > 0")[0]["n"] >= len(system.jobs)


def test_every_message_is_delivered_twice(run_system: RunSystem) -> None:
    # Nobody is to take over what a busy machine only holds up.
    with run_system(lease_s=30) as system:
        with duplicating(system.amqp_url, system.kind) as copied, system.load():
            system.wait_completed(300)
            # A command and an event for each job, the event to each of its queues
            assert wait_until(lambda: copied() >= len(system.kind.queues) * 300, timeout_s=120)
        system.assert_each_completed_exactly_once()
        assert system.stack.stub.summary().max_calls_per_request_id == 1


def test_everything_at_once(run_system: RunSystem) -> None:
    with run_system(workers=2) as system:
        system.stack.stub.set_dials(errors=EVERY_ERROR, seed=11, retry_after_s=0.1)
        dying_relay = system.stack.start_relay(failpoints="relay.confirmed=kill@3")
        dying_worker = system.stack.start_worker(failpoints="job.committed=kill@10")
        with duplicating(system.amqp_url, system.kind), system.load():
            assert dying_worker.wait(timeout_s=120) == -signal.SIGKILL
            system.stack.of("worker")[0].kill()
            system.kill_broker()
            system.node.start()
            system.postgres.stop()
            system.postgres.start()
            system.stack.of("worker")[0].kill()
            system.stack.start_worker()
            with Management(system.node.management_url) as management:
                management.delete_queue(system.vhost, system.kind.queues[0])
        assert not dying_relay.is_running
        system.wait_ended()
        system.stack.stub.set_dials(errors=ErrorRates())
        redrive_until_completed(system)
        system.assert_each_completed_exactly_once()


def test_sigterm_ends_a_worker_within_its_grace_and_no_job_runs_twice(run_system: RunSystem) -> None:
    with run_system(workers=0, grace_s=10, prefetch=20) as system:
        system.stack.stub.set_dials(latency=Constant(ms=800))
        leaving = system.stack.start_worker()
        with system.load(100):
            # When a worker with its hands full is told to end
            system.wait_completed(20)
            assert leaving.terminate(timeout_s=30) == 0
            at_exit = system.count("processing")
            system.stack.start_worker()
        # Then it left nothing half done, and its successor did the rest
        assert at_exit == 0
        system.assert_each_completed_exactly_once(100)
        assert system.stack.stub.summary().max_calls_per_request_id == 1


def test_sigterm_gives_back_what_cannot_be_finished_in_time(run_system: RunSystem) -> None:
    with run_system(workers=0, grace_s=0.5, prefetch=20) as system:
        system.stack.stub.set_dials(latency=Constant(ms=120_000))
        leaving = system.stack.start_worker(model_timeout_s=300)
        with system.load(20):
            assert wait_until(lambda: system.count("processing") == 20, timeout_s=60)
            assert leaving.terminate(timeout_s=30) == 0
        system.stack.stub.set_dials(latency=Constant(ms=10))
        system.stack.start_worker()
        system.assert_each_completed_exactly_once(20)
        # Given back, not left to run out: none counts as a crash
        assert system.rows(f"SELECT max(crashes) AS n FROM {system.kind.table}")[0]["n"] == 0
