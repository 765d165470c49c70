"""Folders of results: a name in the list of results stands for a whole run, whatever happened while it was written.

Everything is written under a hidden name first and renamed when it is complete; what could not be completed is
removed.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd

from labs.errors import LabError
from loadtest.engine.integrity import Integrity
from loadtest.results.run import Run

#: Where results go unless told otherwise.
RESULTS = Path("results")
_FRAMES = {"series": "series", "samples": "samples", "latency": "histograms", "broker": "broker"}


class ResultsError(LabError):
    """Results could not be written or read; the text says where, why, and what would help."""


class Pending:
    """A folder of results that is being filled; a context manager: without `commit` nothing stays.

    Args:
        results: the folder of all results; made if need be.
        name: of the run.

    Raises:
        ResultsError: it can't be written to.
    """

    def __init__(self, results: Path, name: str) -> None:
        moment = datetime.now(UTC)
        self._final = results / f"{moment:%Y%m%dT%H%M%SZ}-{_plain(name)}"
        self.path = results / f".{self._final.name}.{secrets.token_hex(3)}"
        with _explained(results):
            self.path.mkdir(parents=True)

    def add(self, run: Run, *, part: str | None = None) -> None:
        """Write a run: as the folder itself, or as one part of several.

        Raises:
            ResultsError: it can't be written: the disk is full, for example.
        """
        folder = self.path if part is None else self.path / _plain(part)
        with _explained(self._final):
            folder.mkdir(exist_ok=True)
            _write(run, folder)

    def add_text(self, name: str, text: str) -> None:
        """Write a file.

        Raises:
            ResultsError: it can't be written.
        """
        with _explained(self._final):
            (self.path / name).write_text(text, encoding="utf-8")

    def commit(self) -> Path:
        """All is there: give the folder its name; returns it.

        Raises:
            ResultsError: it can't be written.
        """
        final = self._final
        with _explained(final):
            while final.exists():  # another run of the same second
                final = self._final.with_name(f"{self._final.name}-{secrets.token_hex(2)}")
            self.path.rename(final)
        return final

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def load(folder: Path | str) -> Run:
    """Open the folder of a run.

    Raises:
        ResultsError: it is none, or not whole.
    """
    folder = Path(folder)
    try:
        manifest, integrity, verdict = (_json(folder, name) for name in ("manifest", "integrity", "verdict"))
        tables = {field: pd.read_parquet(folder / f"{file}.parquet") for field, file in _FRAMES.items()}
        return Run(manifest=manifest, integrity=Integrity(**integrity), verdict=verdict, folder=folder, **tables)
    except (OSError, ValueError, TypeError) as error:
        raise ResultsError(f"{folder} is not the folder of a whole run: {error}") from error


def load_all(folder: Path | str) -> list[Run]:
    """Open the folder of a run, or one with several: every run of a capacity search or a comparison.

    Raises:
        ResultsError: there is none in it.
    """
    folder = Path(folder)
    if (folder / "manifest.json").exists():
        return [load(folder)]
    parts = sorted(path.parent for path in folder.glob("*/manifest.json") if not path.parent.name.startswith("."))
    if not parts:
        raise ResultsError(f"{folder} holds no run: give a folder that `python -m loadtest run` has written")
    return [load(part) for part in parts]


def _write(run: Run, folder: Path) -> None:
    for name, content in (
        ("manifest", run.manifest),
        ("integrity", run.integrity.as_dict()),
        ("verdict", run.verdict),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    for field, file in _FRAMES.items():
        frame: pd.DataFrame = getattr(run, field)
        buffer = BytesIO()  # so that every error of the disk is one of Python's own
        frame.to_parquet(buffer, engine="pyarrow", index=False)
        (folder / f"{file}.parquet").write_bytes(buffer.getvalue())


@contextmanager
def _explained(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise ResultsError(
            f"the results can't be written to {place}: {why}. Nothing of them is kept there; "
            "make room or give another folder with --results"
        ) from error


def _json(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return content


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60] or "run"
