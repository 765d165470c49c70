"""Trials of consumers: of a work queue, with retries, with effects that happen once, through drills."""

from __future__ import annotations

import signal

from labs.broker import Depth
from labs.trial import operations as op
from labs.trial.bench import AT, COMMITTED_AT
from labs.trial.exercises.stage import Stage
from labs.trial.history import Ids

DELAYS_MS = (100, 200, 400)


def work_queue(stage: Stage) -> None:
    """Two workers; one is killed in the middle of a task, and another one comes."""
    _ready(stage, "work", "CREATE TABLE done (task text PRIMARY KEY, {AT})", workers=2)
    stage.bench.publish({f"task-{n}": b"a picture" for n in range(1, 41)}, key="work")
    stage.kill("worker-1", after=op.SETTLE, times=stage.random.randint(3, 8))
    stage.start("worker-3")
    effects = f"SELECT task, {COMMITTED_AT} FROM done"
    stage.finish(lambda: _all_done(stage, "work", effects, consumers=2), queues=["work"])
    stage.bench.effects(effects, queue="work")


def retries(stage: Stage) -> None:
    """Tasks that fail once, tasks that always fail, and a worker that is killed with some of them in its hands."""
    with stage.bench.channel() as channel:
        for delay_ms in DELAYS_MS:
            dies = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work", "x-message-ttl": delay_ms}
            channel.queue_declare(f"work.retry.{delay_ms}", durable=True, arguments=dies)
        channel.queue_declare("work.dlq", durable=True)
    _ready(stage, "work", "CREATE TABLE done (task text PRIMARY KEY, {AT})", workers=1)
    bodies = [b"fails always"] * 2 + [b"fails once"] * 4 + [b"fine"] * 14
    stage.random.shuffle(bodies)
    stage.bench.publish({f"task-{n}": body for n, body in enumerate(bodies, start=1)}, key="work")
    stage.kill("worker-1", after=op.SETTLE, times=stage.random.randint(4, 10))
    stage.start("worker-2")
    dead: set[str] = set()
    effects = f"SELECT task, {COMMITTED_AT} FROM done"
    stage.finish(lambda: _all_done(stage, "work", effects, consumers=1, dead=dead), queues=["work"])
    stage.bench.effects(effects, queue="work")
    _dead_letters(stage, dead, "work")


def idempotent(stage: Stage) -> None:
    """Two consumers, payments that are published twice, some for both at the same moment, and a kill in the middle."""
    schema = (
        "CREATE TABLE inbox (message text PRIMARY KEY, {AT}); "
        "CREATE TABLE ledger (message text NOT NULL, account text NOT NULL, amount integer NOT NULL, {AT})"
    )
    _ready(stage, "payments", schema, workers=2)
    _pay_twice_at_once(stage, [f"payment-{n}" for n in range(101, 105)])
    payments = {f"payment-{n}": b"10 ada" for n in range(1, 31)}
    twice = set(stage.random.sample(sorted(payments), 8))
    for message, body in payments.items():
        stage.bench.publish({message: body}, key="payments")
        if message in twice:  # its publisher saw no confirm in time
            stage.bench.publish({message: body}, key="payments", mark=False)
    paid = stage.random.randint(5, 12)
    stage.until(lambda: _count(stage, "ledger") >= paid)
    with stage.fault("worker-1 is killed in the middle of payments"):
        stage.bench.kill("worker-1")
        stage.bench.publish({f"payment-{n}": b"10 ada" for n in range(31, 36)}, key="payments")
    stage.start("worker-3")
    effects = f"SELECT message, {COMMITTED_AT} FROM ledger ORDER BY at"
    stage.finish(lambda: _all_done(stage, "payments", effects, consumers=2), queues=["payments"])
    stage.bench.effects(effects, queue="payments")


def _pay_twice_at_once(stage: Stage, payments: list[str]) -> None:
    """Both consumers have the same payments in their hands before either of them begins."""
    names = ("worker-1", "worker-2")
    with stage.fault("two consumers get the same payments at the same moment"):
        for name in names:
            stage.bench.processes[name].send_signal(signal.SIGSTOP)
        for message in payments:
            stage.bench.publish({message: b"10 ada"}, key="payments")
            stage.bench.publish({message: b"10 ada"}, key="payments", mark=False)
        stage.until(lambda: all(stage.bench.times(op.DELIVER, process=name) for name in names))
        for name in names:
            stage.bench.processes[name].send_signal(signal.SIGCONT)


def failure_drills(stage: Stage) -> None:
    """The queue is deleted and declared again; then the connection is closed."""
    _ready(stage, "work", "CREATE TABLE done (task text PRIMARY KEY, {AT})", workers=1)
    effects = f"SELECT task, {COMMITTED_AT} FROM done"

    def done() -> bool:
        return _all_done(stage, "work", effects, consumers=1)

    names = iter(range(1, 100))

    def publish(count: int) -> None:
        stage.bench.publish({f"task-{next(names)}": b"a picture" for _ in range(count)}, key="work")

    publish(stage.random.randint(5, 10))
    stage.until(done)
    with stage.fault("the queue is deleted, and declared again"):
        with stage.bench.channel() as channel:
            channel.queue_delete("work")
            channel.queue_declare("work", durable=True)
        publish(stage.random.randint(5, 10))
        stage.until(done, timeout_s=2)
    stage.close_connections("worker-1")
    publish(stage.random.randint(5, 10))
    stage.finish(done, queues=["work"])
    stage.bench.effects(effects, queue="work")


def _ready(stage: Stage, queue: str, schema: str, *, workers: int) -> None:
    """Table and queue are made, and the learner's workers consume."""
    stage.bench.database.execute(schema.format(AT=AT).encode())
    with stage.bench.channel() as channel:
        channel.queue_declare(queue, durable=True)
    stage.say(f"{workers} of your programs start")
    stage.start(*(f"worker-{number}" for number in range(1, workers + 1)))
    stage.ready(queue, consumers=workers)


def _all_done(stage: Stage, queue: str, effects: str, *, consumers: int, dead: set[str] | None = None) -> bool:
    """Every published message has its effect and was settled; the queue is empty, and its consumers are there."""
    published = stage.bench.messages(op.MARK)
    if not published <= stage.bench.messages(op.SETTLE):
        return False
    done = {row[0] for row in stage.bench.database.execute(effects.encode()).fetchall()}
    if dead is not None:
        dead |= _taken(stage, f"{queue}.dlq", dead)
    at_rest = stage.bench.depth(queue) == Depth(0, consumers=consumers)
    return at_rest and published <= done | (dead or set())


def _taken(stage: Stage, queue: str, known: set[str]) -> set[str]:
    """The ids of what lies in a queue; all of it goes back when the channel is closed."""
    found: set[str] = set()
    with stage.bench.channel() as channel:
        while True:
            method, properties, _ = channel.basic_get(queue)
            if method is None or properties is None:
                return found - known
            found.add(properties.message_id or "")


def _dead_letters(stage: Stage, dead: set[str], queue: str) -> None:
    """What lies in the dead-letter queue has come to its end when it was confirmed there."""
    confirmed = [e for e in stage.bench.history.events if e.operation == op.PUBLISH and e.kind == "ok"]
    for event in confirmed:
        if event.value == f"{queue}.dlq" and event.message in dead:
            ids = Ids(message=event.message, queue=queue)
            stage.bench.history.add("broker", "ok", op.EFFECT, ids, at_ns=event.at_ns, value=op.DEAD)


def _count(stage: Stage, table: str) -> int:
    row = stage.bench.database.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    return int(row[0]) if row else 0
