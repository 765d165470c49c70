"""Trials of subscribers: each must get every event that is meant for it, and no other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from labs.trial import operations as op
from labs.trial.bench import AT, COMMITTED_AT
from labs.trial.exercises.stage import Stage
from labs.trial.history import Ids

_SCHEMA = f"CREATE TABLE seen (subscriber text, event text, {AT}, PRIMARY KEY (subscriber, event))"
_SEEN = f"SELECT event, {COMMITTED_AT}, '{{prefix}}.' || subscriber FROM seen"
_SESSIONS = {"ada": "s1", "bob": "s1", "eve": "s2"}


def publish_subscribe(stage: Stage) -> None:
    """Two subscribers of one fanout exchange: cut off, and one of them killed; events go on meanwhile."""
    bench, names = stage.bench, ("mailer", "audit")
    _begin(stage, "events", "fanout", names)
    events = itertools.count(1)

    def publish(count: int) -> None:
        for number in itertools.islice(events, count):
            bench.publish({f"event-{number}": b"an order"}, key="", exchange="events", mandatory=False)

    publish(10)
    stage.until(lambda: bench.times(op.SETTLE) >= 2 * 10 - stage.random.randint(0, 5))
    stage.close_connections(*names)
    publish(10)
    stage.until(lambda: _has(stage, {"mailer": 20, "audit": 20}), timeout_s=3)
    victim = stage.random.choice(names)
    with stage.fault(f"{victim} is killed, and started again"):
        bench.kill(victim)
        publish(10)
        stage.start(victim)
    stage.finish(lambda: _has(stage, {"mailer": 30, "audit": 30}), queues=[f"events.{name}" for name in names])
    bench.effects(_SEEN.format(prefix="events"))


def peers(stage: Stage) -> None:
    """Three participants of two sessions on a topic exchange; one is killed and comes back."""
    bench, names = stage.bench, tuple(_SESSIONS)
    _begin(stage, "peers", "topic", names)
    told: dict[str, int] = dict.fromkeys(names, 0)
    changes = itertools.count(1)

    def publish(count: int) -> None:
        for number in itertools.islice(changes, count):
            session = stage.random.choice(("s1", "s2"))
            message = f"change-{number}"
            members = [name for name, own in _SESSIONS.items() if own == session]
            for member in members:
                told[member] += 1
            meant_for = ",".join(f"peers.{name}" for name in members)
            ids = Ids(request=message, job=message, message=message, queue=meant_for)
            bench.history.add("author", "invoke", op.SUBMIT, ids)
            bench.history.add("author", "ok", op.ROW, ids)
            bench.history.add("author", "ok", op.OUTBOX, ids, value=op.REQUEST)
            key = f"session.{session}.change"
            bench.publish({message: b"a change"}, key=key, exchange="peers", mandatory=False)

    publish(15)
    stage.until(lambda: _has(stage, told), timeout_s=3)
    victim = stage.random.choice(names)
    with stage.fault(f"{victim} is killed, and started again"):
        bench.kill(victim)
        publish(15)
        stage.start(victim)
    stage.finish(lambda: _has(stage, told), queues=[f"peers.{name}" for name in names])
    bench.effects(_SEEN.format(prefix="peers"))


def _begin(stage: Stage, exchange: str, kind: str, names: tuple[str, ...]) -> None:
    """Exchange and table are there, and every subscriber has bound a queue."""
    stage.bench.database.execute(_SCHEMA.encode())
    with stage.bench.channel() as channel:
        channel.exchange_declare(exchange, kind, durable=True)
    stage.say(f"{len(names)} of your programs start: {', '.join(names)}")
    stage.start(*names)
    stage.until(lambda: len(set(_bound(stage, exchange))) >= len(names), timeout_s=20)


def _bound(stage: Stage, exchange: str) -> Iterator[str]:
    for binding in stage.management.bindings(stage.vhost):
        if binding.source == exchange:
            yield binding.destination


def _has(stage: Stage, told: Mapping[str, int]) -> bool:
    """Whether each subscriber has as many events as were told to it, or more."""
    rows = stage.bench.database.execute("SELECT subscriber, count(*) FROM seen GROUP BY subscriber").fetchall()
    found = {str(name): int(number) for name, number in rows}
    return all(found.get(name, 0) >= number for name, number in told.items())
