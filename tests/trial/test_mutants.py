"""Programs that are wrong in one way are caught, each with the right anomaly; the right ones are valid."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from labs.broker import Depth, VirtualHost
from labs.trial import operations as op
from labs.trial.bench import AT, COMMITTED_AT, Bench, Patience
from labs.trial.checker import Anomaly, Result, Verdict, check
from labs.trial.history import History, Ids
from labs.trial.operations import Promises
from tests.trial import mutants
from tests.trial.mutants import DELAYS_MS, FAILS_ALWAYS, FAILS_ONCE, PREFETCH, QUEUE

PROMISES = Promises(
    queues=(QUEUE,), jobs=False, retry_delays_ms=DELAYS_MS, unconfirmed=100, prefetch=PREFETCH, consumers={QUEUE: 1}
)
#: What lies in the queue when a consumer comes: one that fails once, one that always does, and many that don't.
BODIES = (FAILS_ONCE, FAILS_ALWAYS, *([b"fine"] * 28))
EFFECTS = f"SELECT message, {COMMITTED_AT} FROM effects UNION ALL SELECT message, {COMMITTED_AT} FROM effects_of_all"


class Workbench(Bench):
    """The mutants' queues and tables on a bench."""

    def prepare(self) -> Self:
        self.patience = Patience(still_s=15.0, endless_s=60.0, start_s=120.0)
        self.database.execute(f"CREATE TABLE effects (message text PRIMARY KEY, {AT})".encode())
        self.database.execute(f"CREATE TABLE effects_of_all (message text, {AT})".encode())
        self.declare()
        return self

    def declare(self) -> None:
        with self.channel() as channel:
            channel.queue_declare(QUEUE, durable=True)
            for delay_ms in DELAYS_MS:
                arguments = {
                    "x-message-ttl": delay_ms,
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": QUEUE,
                }
                channel.queue_declare(f"{QUEUE}.retry.{delay_ms}", durable=True, arguments=arguments)

    def fill(self, bodies: tuple[bytes, ...] = BODIES, *, prefix: str = "message") -> None:
        self.publish({f"{prefix}-{number}": body for number, body in enumerate(bodies)}, key=QUEUE)

    def mutant(self, name: str, **options: object) -> AbstractContextManager[subprocess.Popen[str]]:
        command = [mutants.__file__, name, self.url(name), self.database_url]
        return self.running(name, command, **options)

    def replace_queue(self) -> None:
        with self.channel() as channel:
            channel.queue_delete(QUEUE)
        self.declare()

    def all_done(self) -> bool:
        effects = {row[0] for row in self.database.execute(EFFECTS.encode()).fetchall()}
        done = self.messages(op.MARK) <= effects & self.messages(op.SETTLE)
        return done and self.depth(QUEUE) == Depth(0, consumers=1)


@pytest.fixture
def bench(vhost: VirtualHost, database_url: str, tmp_path: Path) -> Iterator[Workbench]:
    with (
        History(tmp_path / "history.jsonl") as history,
        Workbench(vhost.amqp_url, database_url, history, folder=tmp_path) as bench,
    ):
        yield bench.prepare()


def tried_consumer(bench: Workbench, name: str, seed: int) -> Result:
    """A consumer of a full queue, killed and started again; then its queue is deleted and declared anew."""
    if name in ENDLESS:
        bench.patience = replace(bench.patience, endless_s=6.0)
    bench.fill(tuple(random.Random(seed).sample(BODIES, len(BODIES))))
    with bench.fault("consumer killed"), bench.mutant(name) as process:
        assert bench.wait(lambda: bench.times(op.DELIVER) > 0)
        if name == "NoIdempotence":
            assert process.wait(timeout=120) == -signal.SIGKILL
    with bench.mutant(name):
        assert bench.wait(lambda: bench.depth(QUEUE).consumers == 1)
        if bench.drain(bench.all_done):
            bench.replace_queue()
            bench.fill((b"fine",), prefix="late")
            bench.drain(bench.all_done)
        bench.at_rest([QUEUE])
    bench.effects(EFFECTS, queue=QUEUE)
    return check(bench.history.events, PROMISES)


def tried_publisher(bench: Workbench, name: str) -> Result:
    """A publisher, and the right consumer."""
    with bench.mutant("Consumer"), bench.fault("nothing"):
        assert bench.wait(lambda: bench.depth(QUEUE).consumers == 1)
        with bench.mutant(name, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                message, at_ns = line.split()
                bench.history.add("publisher", "ok", op.MARK, Ids(message=message), at_ns=int(at_ns))
            assert process.wait(timeout=120) == 0
        bench.drain(bench.all_done)
        if name != "NoConfirms":
            assert bench.wait(lambda: bench.times(op.UNCONFIRMED) > 0)
    bench.effects(EFFECTS, queue=QUEUE)
    return check(bench.history.events, PROMISES)


#: What each is caught with, and what goes along with it.
CONSUMERS: dict[str, tuple[Anomaly, set[Anomaly]]] = {
    "AutoAck": (Anomaly.ACK_BEFORE_COMMIT, {Anomaly.NO_EFFECT, Anomaly.WINDOW_EXCEEDED}),
    "AckBeforeCommit": (Anomaly.ACK_BEFORE_COMMIT, {Anomaly.NO_EFFECT}),
    "AckInTransaction": (Anomaly.ACK_BEFORE_COMMIT, {Anomaly.NO_EFFECT}),
    "NoIdempotence": (Anomaly.DONE_TWICE, set()),
    "EndlessRequeue": (Anomaly.TOO_MANY_ATTEMPTS, {Anomaly.NO_EFFECT, Anomaly.QUEUE_NOT_EMPTY}),
    "AckWithoutRetry": (Anomaly.ACK_BEFORE_COMMIT, {Anomaly.NO_EFFECT}),
    "RetryWithoutAck": (Anomaly.QUEUE_NOT_EMPTY, {Anomaly.NO_EFFECT}),
    "NoCancelHandling": (Anomaly.CONSUMER_NOT_BACK, {Anomaly.LOST, Anomaly.NO_EFFECT, Anomaly.QUEUE_NOT_EMPTY}),
    "ForgottenAck": (Anomaly.QUEUE_NOT_EMPTY, {Anomaly.LOST, Anomaly.NO_EFFECT}),
    "MixedTtl": (Anomaly.RETRY_TOO_EARLY, set()),
    "CountsByTwo": (Anomaly.ATTEMPT_SKIPPED, {Anomaly.TOO_MANY_ATTEMPTS}),
    "NeverGivesUp": (Anomaly.TOO_MANY_ATTEMPTS, {Anomaly.NO_EFFECT, Anomaly.QUEUE_NOT_EMPTY}),
    "NoPrefetch": (Anomaly.WINDOW_EXCEEDED, set()),
}
PUBLISHERS: dict[str, tuple[Anomaly, set[Anomaly]]] = {
    "NoConfirms": (Anomaly.MARKED_BEFORE_CONFIRM, set()),
    "NoMandatory": (Anomaly.LOST, {Anomaly.NO_EFFECT}),
    "IgnoresReturns": (Anomaly.MARKED_AFTER_RETURN, {Anomaly.NO_EFFECT}),
    "UnboundedWindow": (Anomaly.WINDOW_EXCEEDED, set()),
}


def assert_caught(result: Result, anomaly: Anomaly, along: set[Anomaly]) -> None:
    found = set(map(Anomaly, result.anomalies))
    assert result.verdict == Verdict.INVALID
    assert anomaly in found, result.anomalies
    assert found <= {anomaly} | along, "\n".join([result.why, *result.story])
    assert result.story
    assert result.hint


#: What these never end can be seen soon.
ENDLESS = {"EndlessRequeue", "NeverGivesUp"}
#: One of each sort; the others in the long form.
SHORT = {"AckInTransaction", "NoIdempotence", "NoCancelHandling", "MixedTtl", "NoConfirms", "IgnoresReturns"}


#: What the order of the messages follows from; a publisher is just run as often. The first in the short form.
SEEDS = range(1, 6)


def in_short_form(names: Iterable[str]) -> list[object]:
    return [
        pytest.param(name, seed, marks=() if name in SHORT and seed == SEEDS[0] else pytest.mark.long)
        for name in names
        for seed in SEEDS
    ]


@pytest.mark.parametrize(("name", "seed"), in_short_form(CONSUMERS))
def test_a_wrong_consumer_is_caught(bench: Workbench, name: str, seed: int) -> None:
    assert_caught(tried_consumer(bench, name, seed), *CONSUMERS[name])


@pytest.mark.parametrize(("name", "seed"), in_short_form(PUBLISHERS))
def test_a_wrong_publisher_is_caught(bench: Workbench, name: str, seed: int) -> None:
    assert_caught(tried_publisher(bench, name), *PUBLISHERS[name])


def test_the_right_consumer_is_valid(bench: Workbench) -> None:
    result = tried_consumer(bench, "Consumer", SEEDS[0])
    assert result.verdict == Verdict.VALID, "\n".join([result.why, *result.story])
    assert result.counts["lost"] == 0


def test_the_right_publisher_is_valid(bench: Workbench) -> None:
    result = tried_publisher(bench, "Publisher")
    assert result.verdict == Verdict.VALID, "\n".join([result.why, *result.story])
    assert result.counts["confirmed"] == 20


def test_every_mutant_is_on_trial() -> None:
    assert {*CONSUMERS, *PUBLISHERS, "Consumer", "Publisher"} == set(mutants.PROGRAMS)
