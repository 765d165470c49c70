"""Hundreds of requests under load while parts fail: each has its effects exactly once, no queue keeps anything."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from labs.broker import Management
from labs.errors import BrokerError
from labs.llm.dials import Constant, ErrorRates
from labs.processes import wait_until
from tests.faults.duplicator import duplicating
from tests.faults.faulty import only_jobs
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

#: Nobody is to take over, or to ask again, what a busy machine only holds up.
UNHURRIED = {"lease_s": 30, "model_timeout_s": 60}


def test_the_worker_is_killed_three_times_once_between_commit_and_ack(run_system: RunSystem) -> None:
    with run_system(workers=0) as system:
        first = system.start_worker(failpoints=system.kind.dies_before_ack(system.share(0.15)))
        with system.load():
            # Given a worker that dies right after a commit, before its ack
            assert first.wait(timeout_s=120) == -signal.SIGKILL
            # When two more are killed with their hands full
            for share in (0.4, 0.7):
                worker = system.start_worker()
                system.wait_done(system.share(share))
                worker.kill()
            system.start_worker()
        # Then
        system.assert_each_done_exactly_once()


def test_the_broker_is_killed_and_comes_back(run_system: RunSystem) -> None:
    with run_system() as system:
        with system.load():
            system.wait_done(system.share(0.2))
            system.kill_broker()
            system.node.start()
        system.assert_each_done_exactly_once()


def test_the_api_is_killed_and_comes_back(run_system: RunSystem) -> None:
    with run_system(**UNHURRIED) as system:
        with system.load():
            system.wait_done(system.share(0.2))
            system.stack.of("api")[0].kill()
            system.stack.start_api()
        system.assert_each_done_exactly_once()
        assert system.stack.stub.summary().max_calls_per_request_id <= 1


def test_the_database_is_restarted(run_system: RunSystem) -> None:
    with run_system() as system:
        with system.load():
            system.wait_done(system.share(0.2))
            system.postgres.stop()
            system.postgres.start()
        system.assert_each_done_exactly_once()


def test_all_connections_are_closed_by_force_again_and_again(run_system: RunSystem) -> None:
    with run_system() as system:

        def close_all() -> None:
            # A connection may just have gone; and a busy broker may take too long to list them.
            with contextlib.suppress(BrokerError), Management(system.node.management_url) as management:
                for connection in management.connections(system.vhost):
                    with contextlib.suppress(BrokerError):
                        management.close_connection(connection.name)

        with system.load(), repeatedly(close_all, every_s=1.0):
            system.wait_done(system.share(0.7))
        system.assert_each_done_exactly_once()


def test_the_queues_are_deleted_with_what_is_in_them(run_system: RunSystem) -> None:
    with run_system() as system:
        with system.load():
            system.wait_done(system.share(0.2))
            with Management(system.node.management_url) as management:
                for queue in system.kind.queues:
                    management.delete_queue(system.vhost, queue)
        system.assert_each_done_exactly_once()


@only_jobs
def test_the_model_fails_three_calls_in_ten_in_every_way(run_system: RunSystem) -> None:
    with run_system() as system:
        system.stack.stub.set_dials(errors=EVERY_ERROR, seed=7, retry_after_s=0.1)
        with system.load():
            pass
        # Four attempts leave about one job in a hundred failed, as promised: an operator sends those back.
        system.wait_ended()
        system.redrive_until_done()
        system.assert_each_done_exactly_once()
        summary = system.stack.stub.summary()
        assert all(summary.outcomes[kind] > 0 for kind in ErrorRates.model_fields)


def test_the_relay_is_killed_between_confirm_and_mark(run_system: RunSystem) -> None:
    with run_system() as system:
        # Given two relays, one of which dies with a batch that is confirmed but not marked
        dying = system.stack.start_relay(failpoints="relay.confirmed=kill@5")
        with system.load():
            assert dying.wait(timeout_s=120) == -signal.SIGKILL
        # Then its messages are published again, and have one effect
        system.assert_each_done_exactly_once()
        assert system.rows("SELECT count(*) AS n FROM outbox WHERE publishes > 0")[0]["n"] >= len(system.asked)


def test_every_message_is_delivered_twice(run_system: RunSystem) -> None:
    with run_system(**UNHURRIED) as system:
        with duplicating(system.amqp_url, system.kind) as copied, system.load():
            system.wait_done(system.kind.requests)
            # Each message to each of its queues
            copies = len(system.kind.queues) * system.kind.requests
            assert wait_until(lambda: copied() >= copies, timeout_s=120)
        system.assert_each_done_exactly_once()
        assert system.stack.stub.summary().max_calls_per_request_id <= 1


def test_everything_at_once(run_system: RunSystem) -> None:
    with run_system(workers=2) as system:
        system.stack.stub.set_dials(errors=EVERY_ERROR, seed=11, retry_after_s=0.1)
        dying_relay = system.stack.start_relay(failpoints="relay.confirmed=kill@3")
        dying_worker = system.start_worker(failpoints=system.kind.dies_before_ack(10))
        with duplicating(system.amqp_url, system.kind), system.load():
            assert dying_worker.wait(timeout_s=120) == -signal.SIGKILL
            system.workers()[0].kill()
            system.kill_broker()
            system.node.start()
            system.postgres.stop()
            system.postgres.start()
            system.workers()[0].kill()
            system.start_worker()
            with Management(system.node.management_url) as management:
                management.delete_queue(system.vhost, system.kind.queues[0])
        system.wait_ended()
        assert dying_relay.wait(timeout_s=120) == -signal.SIGKILL
        system.stack.stub.set_dials(errors=ErrorRates())
        system.redrive_until_done()
        system.assert_each_done_exactly_once()


@only_jobs
def test_sigterm_ends_a_worker_within_its_grace_and_no_job_runs_twice(run_system: RunSystem) -> None:
    with run_system(workers=0, grace_s=60, prefetch=20, **UNHURRIED) as system:
        system.stack.stub.set_dials(latency=Constant(ms=800))
        leaving = system.start_worker()
        with system.load(100):
            # When a worker with its hands full is told to end
            system.wait_done(20)
            assert leaving.terminate(timeout_s=90) == 0
            at_exit = system.count("processing")
            system.start_worker()
        # Then it left nothing half done, and its successor did the rest
        assert at_exit == 0
        system.assert_each_done_exactly_once(100)
        assert system.stack.stub.summary().max_calls_per_request_id <= 1


@only_jobs
def test_sigterm_gives_back_what_cannot_be_finished_in_time(run_system: RunSystem) -> None:
    with run_system(workers=0, grace_s=0.5, prefetch=20, lease_s=30) as system:
        system.stack.stub.set_dials(latency=Constant(ms=120_000))
        leaving = system.start_worker(model_timeout_s=300)
        with system.load(20):
            assert wait_until(lambda: system.count("processing") == 20, timeout_s=60)
            assert leaving.terminate(timeout_s=30) == 0
        system.stack.stub.set_dials(latency=Constant(ms=10))
        system.start_worker()
        system.assert_each_done_exactly_once(20)
        # Given back, not left to run out: none counts as a crash
        assert system.rows(f"SELECT max(crashes) AS n FROM {system.kind.table}")[0]["n"] == 0
