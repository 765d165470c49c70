"""The exercise at the end of a chapter: the learner's file on trial, on the chapter's broker and database server."""

from __future__ import annotations

from labs.notebook.session import Notebook
from labs.settings import load_settings
from labs.trial.exercises import Outcome, Workspace, fresh_folder, run_exercise
from labs.trial.exercises import exercise as find


def exercise(lab: Notebook, number: str, *, seed: int = 1) -> Outcome:
    """Put the learner's program for a chapter on trial, and print what came out.

    It is in `notebooks/exercises` (LAB_EXERCISES); the first call puts the starter there.

    Args:
        lab: of the chapter.
        number: of the exercise, for example `"01"`.
        seed: decides what is broken when.
    """
    chosen, workspace = find(number), Workspace()
    file, folder = workspace.file(chosen), fresh_folder(lab.folder, chosen)
    settings = load_settings(
        amqp_url=lab.broker.amqp_url, management_url=lab.broker.management_url, database_url=lab.database_url
    )
    outcome = run_exercise(chosen, file, folder=folder, seed=seed, settings=settings, environment=lab.environment)
    workspace.record(chosen, outcome)
    print(f"exercises/{file.name}: {outcome.words}")
    return outcome
