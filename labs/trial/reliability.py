"""A page of what was promised, tried and found, made of the folders that trials have left.

What people write below `BY_HAND` stays: what a trial found and how it was mended is not in its folder.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from labs.trial.checker.kinds import Anomaly
from labs.trial.checker.promised import PROMISED
from labs.trial.faults import FAULTS
from labs.trial.folder import MANIFEST, VERDICT, Manifest, read_manifest
from labs.trial.history import HistoryError
from labs.trial.subjects import SUBJECTS

BY_HAND = "## What was mended"
_NOTHING_BY_HAND = f"{BY_HAND}\n\nNothing yet.\n"
_VALID = "valid"


@dataclass(frozen=True)
class Tried:
    """A trial that was checked."""

    manifest: Manifest
    verdict: str
    why: str
    counts: dict[str, int]


def tried(results: Path) -> list[Tried]:
    """All trials of a folder of results that were run to their end and checked; what is no trial is passed over.

    Raises:
        HistoryError: there is none, or what is written of one can't be read.
    """
    folders = [path.parent for path in sorted(results.glob(f"*/{VERDICT}")) if (path.parent / MANIFEST).exists()]
    found = [trial for trial in map(_read, folders) if trial.manifest.system in SUBJECTS]  # exercises are there too
    if not found:
        raise HistoryError(f"{results} holds no trial: run one, or say where they are with --results")
    return found


def _read(folder: Path) -> Tried:
    path = folder / VERDICT
    try:
        said = json.loads(path.read_bytes())
        return Tried(read_manifest(folder), str(said["verdict"]), str(said["why"]), dict(said["counts"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HistoryError(f"{path} is no verdict: check it again with --replay {folder}") from error


def write_page(path: Path, trials: Sequence[Tried], *, command: str) -> None:
    """Write the page; of an older one, what was written by hand is kept.

    Raises:
        HistoryError: it can't be written.
    """
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        by_hand = BY_HAND + old.partition(BY_HAND)[2] if BY_HAND in old else _NOTHING_BY_HAND
        path.write_text("\n".join(_page(trials, command=command)) + f"\n{by_hand}", encoding="utf-8")
    except OSError as error:
        raise HistoryError(f"{path} can't be written: {error.strerror}") from error


def _page(trials: Sequence[Tried], *, command: str) -> Iterator[str]:
    days = sorted({trial.manifest.started[:10] for trial in trials})
    on = f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory"
    yield "# Reliability: what was promised, tried and found"
    yield ""
    number = f"{len(trials)} trial{'s' if len(trials) > 1 else ''}"
    yield f"Made by `{command}` of {number}, {' to '.join(dict.fromkeys((days[0], days[-1])))}, on {on}."
    yield "What a trial does: [README](../README.md#trials). The same seed gives the same faults in the same order."
    yield ""
    yield "## What is promised"
    yield ""
    yield "Under every fault, of each request, message and process; a checker looks for its opposite in the history."
    yield ""
    yield from _table(("promise", "broken, it is called"), [(text, f"`{kind}`") for kind, text in PROMISED.items()])
    yield "## What was tried"
    yield ""
    yield from _sums(trials)
    places = defaultdict[tuple[str, str], list[Tried]](list)
    for trial in trials:
        places[trial.manifest.broker, trial.manifest.on].append(trial)
    for (broker, target), there in sorted(places.items()):
        yield f"### On RabbitMQ {broker}, `--on {target}`"
        yield ""
        yield "Each cell has the seeds of the trials that met this fault, alone or among others."
        yield ""
        yield from _matrix(there, target)
    yield "## What was found"
    yield ""
    yield from _found(trials)


def _sums(trials: Sequence[Tried]) -> Iterator[str]:
    rows = []
    for name in SUBJECTS:
        of = [trial for trial in trials if trial.manifest.system == name]
        met = len({fault for trial in of for fault in trial.manifest.faults})
        numbers = [
            sum(trial.counts.get(what, 0) for trial in of) for what in ("accepted", "lost", "duplicated", "recovered")
        ]
        seconds = sum(trial.manifest.seconds for trial in of)
        rows.append((name, str(len(of)), str(met), f"{seconds:,.0f}", *(f"{number:,}" for number in numbers)))
    head = ("system", "trials", "faults", "seconds of load", "accepted", "lost", "delivered again", "recovered")
    yield from _table(head, rows)


def _matrix(trials: Sequence[Tried], target: str) -> Iterator[str]:
    rows = []
    for name, fault in FAULTS.items():
        if target not in fault.targets:
            continue
        cells = [
            _cell(trials, name, system) if fault.applies(subject) else "nothing to break"
            for system, subject in SUBJECTS.items()
        ]
        rows.append((f"`{name}`", fault.begins, *cells))
    yield from _table(("fault", "how it begins", *SUBJECTS), rows)


def _cell(trials: Sequence[Tried], fault: str, system: str) -> str:
    seeds = defaultdict[str, set[int]](set)
    for trial in trials:
        if trial.manifest.system == system and fault in trial.manifest.faults:
            seeds[trial.verdict].add(trial.manifest.seed)
    if not seeds:
        return "not tried"
    said = [(verdict if verdict == _VALID else f"**{verdict}**", sorted(of)) for verdict, of in sorted(seeds.items())]
    return "; ".join(f"{verdict}: {', '.join(map(str, of))}" for verdict, of in said)


def _found(trials: Sequence[Tried]) -> Iterator[str]:
    rows = [
        (
            trial.manifest.system,
            ", ".join(trial.manifest.faults) if len(trial.manifest.faults) < len(FAULTS) / 2 else "all",
            str(trial.manifest.seed),
            trial.verdict,
            trial.why,
        )
        for trial in trials
        if trial.verdict != _VALID
    ]
    if rows:
        yield from _table(("system", "faults", "seed", "verdict", "why"), rows)
    else:
        yield f"Every promise was kept: none of the {len(Anomaly)} anomalies in any trial of this page."
        yield ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
