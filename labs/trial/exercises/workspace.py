"""The learner's own files and what was tried of them: in LAB_EXERCISES, by default beside the chapters.

JupyterLab shows that folder, in the checkout as well as in Docker, and git doesn't see it.

Nothing that a learner wrote is ever written over: a reset keeps the old file under another name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from labs.errors import ConfigurationError
from labs.settings import get_settings
from labs.trial.checker import Verdict
from labs.trial.exercises.catalogue import Exercise
from labs.trial.exercises.run import Outcome

#: In the folder of the programs.
_STANDING = ".standing.json"


@dataclass(frozen=True)
class Standing:
    """How far a learner is with an exercise."""

    runs: int = 0
    solved: bool = False
    hints: int = 0

    @property
    def text(self) -> str:
        """In a word or two."""
        if self.solved:
            return "solved"
        return f"tried {self.runs}x" if self.runs else "not begun"


class Workspace:
    """Files and standing of one learner.

    Args:
        files: where the programs are; default: from the environment. Whoever needs to write there gets a
            `ConfigurationError` if that is not possible.
    """

    def __init__(self, files: Path | None = None) -> None:
        self.files = files or get_settings().exercises
        self._state = self.files / _STANDING

    def has(self, exercise: Exercise) -> bool:
        """Whether the learner has a copy already."""
        return (self.files / f"{exercise.label}.py").exists()

    def file(self, exercise: Exercise) -> Path:
        """The learner's copy; the starter, if there is none yet."""
        path = self.files / f"{exercise.label}.py"
        if not path.exists():
            with self._usable():
                path.write_text(exercise.text("starter.py"), encoding="utf-8")
        return path

    def reset(self, exercise: Exercise) -> Path | None:
        """Begin anew; returns where the old file is kept, or None if there was nothing of the learner's in it."""
        path = self.files / f"{exercise.label}.py"
        kept = None
        if path.exists() and path.read_text(encoding="utf-8") != exercise.text("starter.py"):
            kept = self._unused(path)
            path.rename(kept)
        path.unlink(missing_ok=True)
        self.file(exercise)
        self._save(exercise, replace(self.standing(exercise), hints=0))
        return kept

    def standing(self, exercise: Exercise) -> Standing:
        """How far the learner is."""
        found = self._read().get(exercise.number, {})
        return Standing(
            runs=int(found.get("runs", 0)), solved=bool(found.get("solved")), hints=int(found.get("hints", 0))
        )

    def record(self, exercise: Exercise, outcome: Outcome) -> None:
        """One more run."""
        before = self.standing(exercise)
        solved = before.solved or outcome.verdict is Verdict.VALID
        self._save(exercise, replace(before, runs=before.runs + 1, solved=solved))

    def next_hint(self, exercise: Exercise) -> tuple[int, int]:
        """The number of the next hint, the last one again and again, and how many there are."""
        before, hints = self.standing(exercise), len(exercise.hints())
        number = min(before.hints + 1, hints)
        self._save(exercise, replace(before, hints=number))
        return number, hints

    @staticmethod
    def _unused(path: Path) -> Path:
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
        names = [f"{path.stem}.{stamp}.py", *(f"{path.stem}.{stamp}-{number}.py" for number in range(2, 1000))]
        return next(other for name in names if not (other := path.with_name(name)).exists())

    def _read(self) -> dict[str, dict[str, int | bool]]:
        try:
            found = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _save(self, exercise: Exercise, standing: Standing) -> None:
        everything = {**self._read(), exercise.number: asdict(standing)}
        with self._usable():
            self._state.write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """The folder, there to be written to."""
        try:
            self.files.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise ConfigurationError(f"LAB_EXERCISES={self.files} can't be used: {error.strerror}") from None
