"""Runs an exercise's trial on a virtual host and a database of its own, and says what came out."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from labs.broker import virtual_host
from labs.processes import Progress, quiet
from labs.settings import Settings, get_settings
from labs.store.server import resolve_database
from labs.trial.bench import Bench, Patience
from labs.trial.checker import Result, Verdict, check
from labs.trial.exercises.catalogue import Exercise
from labs.trial.exercises.stage import ProgramFailed, Stage
from labs.trial.exercises.words import explain
from labs.trial.folder import HISTORY, Manifest, write_manifest, write_verdict
from labs.trial.history import Event, History
from labs.trial.site import TrialFailed

_LOCKED = (
    "it holds a lock in the database for more than 10 s, and the trial can't go on: does each of its transactions end "
    "before it waits for something else?"
)


@dataclass(frozen=True)
class Outcome:
    """What came out: the verdict, what it means for whoever wrote the program, and the folder with the rest."""

    verdict: Verdict
    words: str
    folder: Path
    result: Result | None = None

    @property
    def survives(self) -> bool:
        """Whether the program keeps its promises."""
        return self.verdict is Verdict.VALID


def run_exercise(
    exercise: Exercise,
    file: Path,
    *,
    folder: Path,
    seed: int = 1,
    settings: Settings | None = None,
    environment: Mapping[str, str] | None = None,
    patience: Patience | None = None,
    progress: Progress = quiet,
) -> Outcome:
    """Put a program through the trial of an exercise.

    Args:
        exercise: whose trial.
        file: the program.
        folder: for history, manifest, verdict and the programs' logs; it must not exist.
        seed: decides what is broken when.
        settings: of the broker and the database to use; default: from the environment.
        environment: variables for the program, besides its addresses.
        patience: how long it may take; default: as a bench has it.
        progress: is told each step.

    Raises:
        TrialFailed: the file or the folder is no good.
        LabError: there is no broker or no database.
    """
    if not file.is_file():
        raise TrialFailed(f"{file} is not a file: `labs exercise reset {exercise.number}` gives you the starter")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise TrialFailed(f"{folder} can't be made: {error.strerror}; give another place with --results") from error
    settings = settings or get_settings()
    failed = ""
    with (
        virtual_host(f"exercise-{exercise.number}", settings=settings, progress=progress) as vhost,
        _database(settings, progress) as database_url,
        History(folder / HISTORY) as history,
    ):
        write_manifest(folder, _manifest(exercise, seed, vhost.broker.version))
        try:
            with Bench(vhost.amqp_url, database_url, history, folder=folder, environment=environment) as bench:
                bench.patience = patience or bench.patience
                stage = Stage(bench, vhost.management, vhost.name, file.resolve(), random.Random(seed), progress)  # noqa: S311
                exercise.trial(stage)
        except ProgramFailed as error:
            failed = f"{file.name}: {error}"
        except psycopg.errors.LockNotAvailable:
            failed = f"{file.name}: {_LOCKED}"
        events = list(history.events)
    if failed:
        return Outcome(Verdict.UNKNOWN, failed, folder)
    return judged(exercise, events, folder)


def judged(exercise: Exercise, events: list[Event], folder: Path) -> Outcome:
    """The outcome of a history."""
    result = check(events, exercise.promises)
    write_verdict(folder, result)
    return Outcome(result.verdict, explain(result, events, exercise.questions), folder, result)


def fresh_folder(results: Path, exercise: Exercise) -> Path:
    """A folder for a run that begins now."""
    return results / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-exercise-{exercise.number}-{secrets.token_hex(2)}"


def _manifest(exercise: Exercise, seed: int, version: str | None) -> Manifest:
    return Manifest(
        system=f"exercise-{exercise.number}",
        faults=(exercise.title,),
        seed=seed,
        seconds=0,
        broker=version or "unknown",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        promises=exercise.promises,
    )


@contextmanager
def _database(settings: Settings, progress: Progress) -> Iterator[str]:
    """An empty database, dropped at the end of the block."""
    server, name = resolve_database(settings, progress=progress), f"exercise_{secrets.token_hex(4)}"

    def execute(statement: str) -> None:
        with psycopg.connect(server, autocommit=True) as db:
            db.execute(sql.SQL(statement).format(sql.Identifier(name)))

    execute("CREATE DATABASE {}")
    try:
        yield conninfo.make_conninfo(server, dbname=name)
    finally:
        execute("DROP DATABASE {} WITH (FORCE)")
