"""Runs a trial: load and faults, heal, quiesce, drain; what came out is never run again by itself, whatever it is.

The same seed gives the same faults in the same order; what they meet is up to the machine.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from labs.errors import LabError
from labs.processes import Progress
from labs.trial import evidence, folder
from labs.trial import operations as op
from labs.trial.faults import Fault
from labs.trial.history import History, Kind
from labs.trial.load import Load
from labs.trial.memory import memory_watched
from labs.trial.servers import Servers
from labs.trial.site import Site, TrialFailed, clock_offset_ns, running_site
from labs.trial.subjects import Subject
from labs.trial.targets import NODE

#: For the load to be under way before the first fault, and between two.
_CALM_S = 1.5
#: What is lost with a queue is published again after 3, 6, 12 s: nothing moves for longer only if nothing will.
_STUCK_S = 30.0
_DRAIN_TIMEOUT_S = 900.0
_LOOK_EVERY_S = 0.5
#: The clocks of the day and of the processes run alike, unless somebody sets one.
_MOST_DRIFT_NS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What to run.

    Args:
        subject: the system.
        faults: at least one of each is met.
        seed: decides their order.
        seconds: of load, at least.
        folder: for everything that is written; it must not exist.
        on: what the servers are; written down with the rest.
    """

    subject: Subject
    faults: Sequence[Fault]
    seed: int
    seconds: float
    folder: Path
    on: str = NODE


def run(trial: Trial, servers: Servers, *, progress: Progress) -> None:
    """Run it: its history and what was promised are in its folder then, for `check` to say what they mean.

    Raises:
        TrialFailed: a fault did not happen, or the folder can't be made; what was written stays.
        LabError: broker, database or processes did not start.
    """
    try:
        trial.folder.mkdir(parents=True)
    except OSError as error:
        raise TrialFailed(
            f"{trial.folder} can't be made: {error.strerror}; give another place with --results"
        ) from error
    path = trial.folder / folder.HISTORY
    with (
        History(path) as history,
        running_site(servers, trial.subject, history, folder=trial.folder / "logs") as site,
    ):
        folder.write_manifest(trial.folder, _manifest(trial, site))
        offset_ns = clock_offset_ns()
        with memory_watched(site):
            _load_and_faults(trial, site, progress)
            drain(site, progress)
        evidence.write_down(site, history, offset_ns=offset_ns)
        if abs(clock_offset_ns() - offset_ns) > _MOST_DRIFT_NS:
            raise TrialFailed("somebody has set the machine's clock meanwhile: run it again")


def _manifest(trial: Trial, site: Site) -> folder.Manifest:
    return folder.Manifest(
        system=trial.subject.name,
        faults=tuple(fault.name for fault in trial.faults),
        seed=trial.seed,
        seconds=trial.seconds,
        broker=site.node.version or "unknown",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        promises=site.promises(),
        on=trial.on,
    )


def _load_and_faults(trial: Trial, site: Site, progress: Progress) -> None:
    order = list(trial.faults)
    random.Random(trial.seed).shuffle(order)  # noqa: S311 - repeatable on purpose
    site.history.add("runner", "invoke", op.PHASE, value="load and faults")
    progress(f"load: {site.subject.per_second:g} requests a second on {site.subject.name}")
    with Load(site) as load:
        until = time.monotonic() + trial.seconds
        number = 0
        while number < len(order) or (order and time.monotonic() + _CALM_S < until):
            time.sleep(_CALM_S)
            meet(order[number % len(order)], site, progress)
            number += 1
        time.sleep(max(_CALM_S, until - time.monotonic()))
        load.stop()
        site.history.add("runner", "invoke", op.PHASE, value="quiesce")
        progress("quiesce: the clients wait for their last answers")
        load.join()
        progress(f"{load.accepted} requests were accepted")


def meet(fault: Fault, site: Site, progress: Progress) -> None:
    """Break, hold and mend; whatever happens it is in the history."""
    site.history.add("nemesis", "invoke", op.FAULT, value=fault.name)
    progress(f"fault: {fault.name}: {fault.begins}")
    try:
        with fault.inject(site) as proof:
            site.history.add("nemesis", "info", op.FAULT, value=fault.name, error=proof)
            progress(f"  seen: {proof}")
            time.sleep(fault.hold_s)
    except Exception as error:
        site.history.add("nemesis", "fail", op.FAULT, value=fault.name, error=str(error))
        if isinstance(error, LabError):
            raise
        raise TrialFailed(f"{fault.name}: {type(error).__name__}: {error}") from error
    site.history.add("nemesis", "ok", op.FAULT, value=fault.name)
    progress(f"  healed: {fault.heals}")


def drain(site: Site, progress: Progress) -> None:
    """Wait until all is done, or nothing moves any more."""
    site.history.add("runner", "invoke", op.PHASE, value=op.DRAIN)
    progress("drain: what was accepted is being done")
    latest, moved_at, before = time.monotonic() + _DRAIN_TIMEOUT_S, time.monotonic(), (0, "")
    how: Kind = "info"
    left = "something"
    while time.monotonic() < latest:
        left = _left(site)
        if not left:
            how = "ok"
            break
        now = (sum(event.operation != op.MEMORY for event in list(site.history.events)), left)
        if now != before:
            before, moved_at = now, time.monotonic()
        elif time.monotonic() - moved_at > _STUCK_S:
            how = "fail"
            break
        time.sleep(_LOOK_EVERY_S)
    site.history.add("runner", how, op.PHASE, value=op.DRAIN, error=left)
    progress(f"left: {left}" if left else "all is done")


def _left(site: Site) -> str:
    try:
        return ", ".join(f"{number} {what}" for what, number in evidence.unfinished(site).items())
    except (LabError, psycopg.Error) as error:
        return f"unknown ({type(error).__name__})"
