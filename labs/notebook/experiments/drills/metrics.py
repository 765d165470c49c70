"""What a drill watches, in the order of its dashboard, and when a quantity counts as having moved."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Metric:
    """A quantity of the dashboard.

    Args:
        key: a short name, as an identifier.
        name: what it is, with its unit if it isn't a count.
        source: who tells.
        least_change: how far from calm it must go to count as moved: less than that is noise.
        falls: trouble is when it falls; that of all others, when they rise.
    """

    key: str
    name: str
    source: str
    least_change: float
    falls: bool = False

    def badness(self, value: float, *, calm: float) -> float:
        """How far a value is from calm, on the side on which trouble is."""
        return calm - value if self.falls else value - calm


_DATABASE, _QUEUE, _STATISTICS = "the database", "the broker, when asked", "the broker's statistics, a second old"

OLDEST = Metric("oldest_open_s", "age of the oldest open job, seconds", _DATABASE, 0.4)
WAITING = Metric("without_202", "requests not yet accepted", "the clients", 3)
OUTBOX = Metric("unpublished", "outbox rows not yet published", _DATABASE, 4)
EXPIRED = Metric("expired_leases", "jobs whose worker's lease ran out", _DATABASE, 1)
READY = Metric("ready", "work queue: messages ready", _QUEUE, 3)
UNACKED = Metric("unacknowledged", "work queue: messages unacknowledged", _STATISTICS, 5)
CONSUMERS = Metric("consumers", "work queue: consumers", _QUEUE, 1, falls=True)
RETRYING = Metric("retrying", "messages in the retry queues", _QUEUE, 1)
DEAD = Metric("dead_letters", "messages in the dead-letter queue", _QUEUE, 1)
CONNECTIONS = Metric("connections", "connections to the broker", _STATISTICS, 1, falls=True)
CALLS = Metric("model_calls", "model calls under way", "the model", 4)
FAILED_CALLS = Metric("failed_calls", "model calls failed so far", "the model", 1)
BROKER = Metric("broker_up", "the broker answers (1: yes)", "trying it", 1, falls=True)
DATABASE = Metric("database_up", "the database answers (1: yes)", "trying it", 1, falls=True)

#: From what users feel down to what only the machinery knows.
DASHBOARD = (
    OLDEST,
    WAITING,
    OUTBOX,
    EXPIRED,
    READY,
    UNACKED,
    CONSUMERS,
    RETRYING,
    DEAD,
    CONNECTIONS,
    CALLS,
    FAILED_CALLS,
    BROKER,
    DATABASE,
)


@dataclass(frozen=True)
class Sample:
    """All figures of one moment; one that nobody could tell just then has its last known value."""

    at_s: float
    oldest_open_s: float
    without_202: float
    unpublished: float
    expired_leases: float
    ready: float
    unacknowledged: float
    consumers: float
    retrying: float
    dead_letters: float
    connections: float
    model_calls: float
    failed_calls: float
    broker_up: float
    database_up: float


def samples(series: Mapping[str, Points]) -> list[Sample]:
    """The series as an alert sees them: one sample after the other, ten a second."""
    made = []
    for at_s, _ in series[WAITING.name]:
        known = {metric.key: _known(series[metric.name], at_s) for metric in DASHBOARD}
        made.append(Sample(at_s=at_s, **known))
    return made


def _known(points: Points, at_s: float) -> float:
    earlier = [value for at, value in points if at <= at_s]
    return earlier[-1] if earlier else points[0][1]


@dataclass(frozen=True)
class Sign:
    """How a quantity left its calm, in seconds since the fault began."""

    metric: Metric
    first_s: float
    calm: float
    worst: float
    #: When it was seen calm again; None: not within the drill, or it only grows.
    back_s: float | None


def signs(series: Mapping[str, Points], *, broke_s: float) -> list[Sign]:
    """The quantities that moved after the fault began, further than ever before it, in the order in which they did."""
    found = [_sign(metric, series.get(metric.name, ()), broke_s) for metric in DASHBOARD]
    return sorted((sign for sign in found if sign is not None), key=lambda sign: sign.first_s)


def _sign(metric: Metric, points: Points, broke_s: float) -> Sign | None:
    before = [value for at, value in points if at < broke_s]
    if not before:
        return None
    calm = statistics.median(before)
    least = max(metric.least_change, *(metric.badness(value, calm=calm) + 0.01 for value in before))
    moved = [(at, value) for at, value in points if at >= broke_s and metric.badness(value, calm=calm) >= least]
    if not moved:
        return None
    back = next((at - broke_s for at, _ in points if at > moved[-1][0]), None)
    worst = max((value for _, value in moved), key=lambda value: metric.badness(value, calm=calm))
    return Sign(metric, moved[0][0] - broke_s, calm, worst, back)
