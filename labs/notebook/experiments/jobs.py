"""Chapter 11: when jobs come, and what is seen from those that are done: rates, waits, utilisation, the pile."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from labs.programs import Program


@dataclass(frozen=True)
class Done:
    """A job, done. All times in seconds of `time.monotonic`, one clock for all processes of a machine.

    Args:
        due_s: when it was meant to be published.
        sent_s: when it was.
        began_s, done_s: when a worker began it, and was done.
    """

    due_s: float
    sent_s: float
    began_s: float
    done_s: float

    @property
    def wait_ms(self) -> float:
        """In the queue: until somebody began it."""
        return (self.began_s - self.sent_s) * 1000

    @property
    def stay_ms(self) -> float:
        """From the moment at which it was due until it was done: waiting and work."""
        return (self.done_s - self.due_s) * 1000

    @property
    def work_ms(self) -> float:
        """In the hands of its worker."""
        return (self.done_s - self.began_s) * 1000


def random_gaps(mean: float, count: int, *, seed: int) -> list[float]:
    """Exponential numbers in random order, spread so evenly that their mean is exact: short runs need that."""
    gaps = [-math.log(1 - (number + 0.5) / count) for number in range(count)]
    random.Random(seed).shuffle(gaps)  # noqa: S311 (no secret)
    return [mean * gap * count / sum(gaps) for gap in gaps]


def at_random(per_s: float, seconds: float, *, seed: int) -> list[float]:
    """Moments at which jobs come that know nothing of one another."""
    moment, moments = 0.0, []
    for gap in random_gaps(1 / per_s, round(per_s * seconds), seed=seed):
        moment += gap
        moments.append(moment)
    return moments


def in_bursts(size: int, *, every_s: float, seconds: float) -> list[float]:
    """Moments of bursts: so many at once, again and again."""
    return [burst * every_s for burst in range(round(seconds / every_s)) for _ in range(size)]


def rates_of(done: Sequence[Done], *, slices: int) -> list[float]:
    """Jobs a second, slice by slice, of a pile that was there at once; the first and the last slice are left out."""
    ends = sorted(job.done_s for job in done)
    size = len(ends) // (slices + 2)
    return [size / (ends[(n + 1) * size - 1] - ends[n * size - 1]) for n in range(1, slices + 1)]


def busy_share(done: Sequence[Done], *, workers: int) -> float:
    """Utilisation: the share of their time that the workers had a job in hand, while jobs came in."""
    start_s, end_s = min(job.due_s for job in done), max(job.due_s for job in done)
    at_work_s = sum(max(0.0, min(job.done_s, end_s) - job.began_s) for job in done)
    return at_work_s / (workers * (end_s - start_s))


def seconds_per_job(done: Sequence[Done]) -> float:
    """How long one worker takes for a job of a pile, all in all: what happens between two jobs counts too."""
    ends = sorted(job.done_s for job in done)
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def looked_at(program: Program, done: Sequence[Done]) -> list[int]:
    """What the broker said that it has ready, from the first job that was sent to the last that was done."""
    start_s, end_s = min(job.sent_s for job in done), max(job.done_s for job in done)
    return [told["count"] for told in program.of("ready") if start_s <= told.at_s <= end_s]


def arrival_rate(done: Sequence[Done]) -> float:
    """Jobs a second, from the first that was sent to the last that was done."""
    return len(done) / (max(job.done_s for job in done) - min(job.sent_s for job in done))


def over_time(done: Sequence[Done], *, every_s: float = 0.1) -> dict[str, list[tuple[float, float]]]:
    """The pile, and the wait of those who were begun, by seconds since the first job was due."""
    zero_s, end_s = min(job.due_s for job in done), max(job.done_s for job in done)
    moments = [zero_s + every_s * n for n in range(1, math.ceil((end_s - zero_s) / every_s) + 1)]
    pile = [sum(job.sent_s <= at_s < job.began_s for job in done) for at_s in moments]
    begun = [[job.wait_ms for job in done if at_s - every_s <= job.began_s < at_s] for at_s in moments]
    waits = [fmean(found) if found else 0.0 for found in begun]
    seconds = [at_s - zero_s for at_s in moments]
    return {
        "jobs that wait in the queue": list(zip(seconds, map(float, pile), strict=True)),
        "ms that a job has waited when somebody begins it": list(zip(seconds, waits, strict=True)),
    }
