"""Chapter 01: crews of workers, each crew with a prefetch and a queue of its own, on the same jobs at the same time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pika

from labs.display import Stretch
from labs.notebook.experiments.waits import until
from labs.notebook.experiments.work_queues import Task, worker
from labs.notebook.session import Notebook
from labs.patterns.work_queue import declare
from labs.programs import Program

Crews = Mapping[int, Sequence[Program]]


def start_crews(lab: Notebook, prefetches: Sequence[int], *, workers: int) -> dict[int, list[Program]]:
    """A crew for each prefetch, with a queue of its own; returns when all workers have subscribed."""
    with pika.BlockingConnection(pika.URLParameters(lab.amqp_url)) as connection:
        for prefetch in prefetches:
            declare(connection.channel(), _crew_queue(prefetch))
    crews = {
        prefetch: [lab.program(worker, queue=_crew_queue(prefetch), prefetch=prefetch) for _ in range(workers)]
        for prefetch in prefetches
    }
    until(
        lambda: all(lab.vhost.depth(_crew_queue(prefetch)).consumers == workers for prefetch in prefetches),
        what=f"{len(crews)} crews of {workers}",
    )
    return crews


def publish_to_crews(lab: Notebook, crews: Crews, tasks: Sequence[Task], *, every_ms: float = 0) -> None:
    """Give all crews the same tasks at the same time, in a fixed rhythm; each task knows when it was due."""
    with pika.BlockingConnection(pika.URLParameters(lab.amqp_url)) as connection:
        channel = connection.channel()
        started_s = time.monotonic()
        for place, task in enumerate(tasks):
            due_s = started_s + place * every_ms / 1000
            time.sleep(max(0.0, due_s - time.monotonic()))
            if place == len(tasks) - 1:
                channel.confirm_delivery()  # else the last one may be lost when the connection closes (seen with 3.10)
            for prefetch in crews:
                channel.basic_publish("", _crew_queue(prefetch), replace(task, due_s=due_s).encoded())


def _crew_queue(prefetch: int) -> str:
    return f"crew.{prefetch}"


@dataclass(frozen=True)
class Stint:
    """One task as one worker did it; times in seconds of `time.monotonic`."""

    worker: str
    task: Task
    began_s: float
    done_s: float


def stints(crew: Sequence[Program], tasks: Sequence[Task]) -> list[Stint]:
    """Wait until a crew has done tasks; who did each, in the order in which they ended. Worker 1 got the first."""
    numbers = {task.number for task in tasks}
    until(lambda: numbers <= {told["number"] for program in crew for told in program.of("done")}, what="all tasks")
    ordered = sorted(crew, key=lambda program: [told["number"] for told in program.of("began")[:1]] or [float("inf")])
    found = [
        Stint(f"worker {place}", Task(**done.facts), began.at_s, done.at_s)
        for place, program in enumerate(ordered, 1)
        for began, done in zip(program.of("began"), program.of("done"), strict=False)
        if done["number"] in numbers
    ]
    return sorted(found, key=lambda stint: stint.done_s)


def at_work_ms(found: Sequence[Stint], *, workers: int) -> dict[str, float]:
    """How long each worker of a crew was at work."""
    total = {f"worker {place}": 0.0 for place in range(1, workers + 1)}
    for stint in found:
        total[stint.worker] += (stint.done_s - stint.began_s) * 1000
    return total


def given_ms(found: Sequence[Stint]) -> dict[str, float]:
    """How much work each worker of a crew was given, however long a busy machine took for it."""
    total: dict[str, float] = {}
    for stint in found:
        total[stint.worker] = total.get(stint.worker, 0.0) + stint.task.takes_ms
    return total


def took_ms(found: Sequence[Stint]) -> float:
    """From the first beginning to the last end."""
    return (max(stint.done_s for stint in found) - min(stint.began_s for stint in found)) * 1000


def waits_ms(found: Sequence[Stint], *, takes_ms: float) -> list[float]:
    """How long tasks of one length waited for a worker, since they were due."""
    return [(stint.began_s - stint.task.due_s) * 1000 for stint in found if stint.task.takes_ms == takes_ms]


def quietest_waits_ms(
    lab: Notebook, crews: Crews, tasks: Sequence[Task], *, every_ms: float, takes_ms: float, rounds: int = 3
) -> dict[int, list[float]]:
    """How long tasks of one length waited in each crew, in the quietest of its rounds.

    What else runs on this machine can only make waits longer. The tasks of each round are numbered on.
    """
    waits: dict[int, list[list[float]]] = {prefetch: [] for prefetch in crews}
    for turn in range(rounds):
        again = [replace(task, number=task.number + turn * len(tasks)) for task in tasks]
        publish_to_crews(lab, crews, again, every_ms=every_ms)
        for prefetch, crew in crews.items():
            waits[prefetch].append(waits_ms(stints(crew, again), takes_ms=takes_ms))
    return {prefetch: min(found, key=sum) for prefetch, found in waits.items()}


def lanes(runs: Mapping[str, Sequence[Stint]], *, heavy_ms: float, workers: int) -> dict[str, list[Stretch]]:
    """A lane for each worker of each run: what it did when, since the run began."""
    found = {}
    for name, run in runs.items():
        start_s = min(stint.began_s for stint in run)
        for worker_name in at_work_ms(run, workers=workers):
            found[f"{name}, {worker_name}"] = [
                Stretch(
                    stint.began_s - start_s,
                    stint.done_s - start_s,
                    "huge photo" if stint.task.takes_ms >= heavy_ms else "small photo",
                )
                for stint in run
                if stint.worker == worker_name
            ]
    return found
