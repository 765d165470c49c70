"""Exercises on trial: a learner's program, the trial that it must survive, and what went wrong in plain words."""

from labs.trial.exercises.catalogue import EXERCISES, Exercise, NoExercise, exercise
from labs.trial.exercises.run import Outcome, fresh_folder, run_exercise
from labs.trial.exercises.workspace import Workspace

__all__ = [
    "EXERCISES",
    "Exercise",
    "NoExercise",
    "Outcome",
    "Workspace",
    "exercise",
    "fresh_folder",
    "run_exercise",
]
