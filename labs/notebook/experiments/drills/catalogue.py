"""Which faults there are, what each looks like from a distance, and what heals by itself."""

from __future__ import annotations

from labs.notebook.experiments.drills.faults import (
    Fault,
    broker_killed,
    connections_closed,
    database_killed,
    memory_alarm,
    model_failing,
    model_slow,
    nothing,
    queue_deleted,
    relay_frozen,
    relay_killed,
    worker_frozen,
    worker_killed,
)

CALM = Fault("nothing", "nothing", nothing, ("", "", ""), "", hold_s=0.3)

TEN = (
    Fault(
        "a worker was killed",
        "worker",
        worker_killed,
        ("a worker is frozen", "the relay was killed", "connections were cut"),
        "yes, when the lease is over",
        hold_s=0.2,
    ),
    Fault(
        "a worker is frozen",
        "frozen",
        worker_frozen,
        ("a worker was killed", "the model is slow", "the work queue was deleted"),
        "yes, by the reconciler; the frozen one needs a watchdog",
        hold_s=2.4,
    ),
    Fault(
        "the relay was killed",
        "relay",
        relay_killed,
        ("the broker was killed", "the broker has no memory left", "the workers were killed"),
        "no: somebody must start it; then yes",
        hold_s=0.6,
    ),
    Fault(
        "the broker was killed",
        "broker",
        broker_killed,
        ("the relay was killed", "connections were cut", "the database was killed"),
        "no: somebody must start it; then yes",
        hold_s=0.0,
    ),
    Fault(
        "the database was killed",
        "database",
        database_killed,
        ("the API was killed", "the broker was killed", "the model is slow"),
        "no: somebody must start it; then yes",
        hold_s=0.4,
    ),
    Fault(
        "connections were cut",
        "cut",
        connections_closed,
        ("the broker was killed", "a worker was killed", "the work queue was deleted"),
        "yes, by reconnecting",
        hold_s=0.0,
    ),
    Fault(
        "the work queue was deleted",
        "queue",
        queue_deleted,
        ("the workers were killed", "connections were cut", "messages went to the dead-letter queue"),
        "yes, by declaring it again, and by the reconciler",
        hold_s=0.0,
    ),
    Fault(
        "the model fails every second call",
        "errors",
        model_failing,
        ("the model is slow", "a worker was killed", "poison messages arrived"),
        "yes, by retries",
        hold_s=1.0,
    ),
    Fault(
        "the model is slow",
        "slow",
        model_slow,
        ("a worker is frozen", "the model fails every second call", "the relay was killed"),
        "yes, when the model is fast again",
        hold_s=1.2,
    ),
    Fault(
        "the broker has no memory left",
        "alarm",
        memory_alarm,
        ("the relay was killed", "the broker was killed", "the database was killed"),
        "yes, when the alarm is over",
        hold_s=0.8,
    ),
)

ELEVENTH = Fault("the relay is frozen", "relay", relay_frozen, ("", "", ""), "no: it needs a watchdog", hold_s=1.8)
