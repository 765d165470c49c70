"""exercise: a program of yours, under the trial that it must survive."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from labs.commands import shared
from labs.commands.trial import EXIT, progress_with_seconds
from labs.errors import LabError
from labs.processes import file_lock
from labs.settings import ROOT, get_settings
from labs.trial.checker import Verdict
from labs.trial.exercises import EXERCISES, Exercise, Workspace, fresh_folder, run_exercise
from labs.trial.exercises import exercise as find

_LOCK_TIMEOUT_S = 1.0

What = Annotated[
    list[str], typer.Argument(help="NUMBER, list, show NUMBER, hint NUMBER, reset NUMBER, solution NUMBER.")
]


def exercise(
    what: What,
    *,
    file: Annotated[Path | None, typer.Option(help="Run this one instead of your copy.")] = None,
    seed: Annotated[int, typer.Option(help="Decides what is broken when.")] = 1,
    results: Annotated[Path, typer.Option(help="Where each run gets a folder.")] = Path("results"),
) -> None:
    """Run your solution of a chapter's exercise: real processes, real kills, and what went wrong in your terms.

    Your copy is in notebooks/exercises (LAB_EXERCISES); the first run puts the starter there. Exit code 0: valid, your
    program keeps its promises. 1: invalid. 2: unknown, it did not start, or nothing is proven; also wrong usage.

    Example: python -m labs exercise 01

    Example: python -m labs exercise list

    Example: python -m labs exercise hint 01

    Example: python -m labs exercise 01 --seed 7 --file mine.py
    """
    try:
        match what:
            case ["list"]:
                _list()
            case ["show" | "hint" | "reset" | "solution" as action, number]:
                _ACTIONS[action](find(number))
            case [number] if number not in _ACTIONS:
                raise typer.Exit(EXIT[_run(find(number), file, seed, results)])
            case _:
                wanted = f"a number ({', '.join(EXERCISES)}), list, or one of {', '.join(_ACTIONS)} and a number"
                raise typer.BadParameter(f"say {wanted}", param_hint="WHAT")
    except LabError as error:
        raise shared.fail(str(error), code=EXIT[Verdict.UNKNOWN]) from error


def _run(chosen: Exercise, file: Path | None, seed: int, results: Path) -> Verdict:
    shared.end_in_order()
    workspace = Workspace()
    fresh = not workspace.has(chosen)
    mine = file or workspace.file(chosen)
    if file is None and fresh:
        _say(f"{_shown(mine)} is yours now: the starter. What it must do: python -m labs exercise show {chosen.number}")
    _say(f"exercise {chosen.number}: {chosen.title}")
    folder = fresh_folder(results, chosen)
    with contextlib.ExitStack() as ending:
        try:
            ending.enter_context(file_lock(get_settings().home / "exercise.lock", timeout_s=_LOCK_TIMEOUT_S))
        except TimeoutError as error:
            raise LabError("another exercise runs: wait until it ends, two at once would disturb each other") from error
        outcome = run_exercise(chosen, mine, folder=folder, seed=seed, progress=progress_with_seconds())
    if file is None:
        workspace.record(chosen, outcome)
    shared.out.print(outcome.words, markup=False, soft_wrap=True)
    if outcome.verdict is Verdict.INVALID:
        _say(f"\nmore of it: python -m labs trial --replay {folder}")
        _say(f"a hint: python -m labs exercise hint {chosen.number}")
    return outcome.verdict


def _list() -> None:
    workspace = Workspace()
    table = Table("exercise", "what your program must survive", "you")
    for each in EXERCISES.values():
        table.add_row(f"{each.number} {each.name.replace('_', ' ')}", each.title, workspace.standing(each).text)
    shared.out.print(table)


def _show(chosen: Exercise) -> None:
    _say(chosen.text("instructions.md").rstrip())
    _say(f"\nYour file: {_shown(Workspace().file(chosen))}")


def _hint(chosen: Exercise) -> None:
    number, of = Workspace().next_hint(chosen)
    _say(f"hint {number} of {of}: {chosen.hints()[number - 1]}")


def _reset(chosen: Exercise) -> None:
    workspace = Workspace()
    kept = workspace.reset(chosen)
    old = f"; yours is kept in {_shown(kept)}" if kept else ""
    _say(f"{_shown(workspace.file(chosen))} is the starter again{old}")


def _solution(chosen: Exercise) -> None:
    _say(chosen.text("solution.py").rstrip())


def _say(text: str) -> None:
    shared.out.print(text, markup=False, soft_wrap=True)


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


_ACTIONS = {"show": _show, "hint": _hint, "reset": _reset, "solution": _solution}
