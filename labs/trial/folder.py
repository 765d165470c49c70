"""The folder of a trial: its history and all that is needed to check it again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from labs.trial.checker import Result
from labs.trial.history import Event, HistoryError, read
from labs.trial.operations import Promises

HISTORY, MANIFEST, VERDICT = "history.jsonl", "trial.json", "verdict.json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What was run.

    Args:
        system: on trial.
        faults: asked for.
        seed: decides their order.
        seconds: of load, at least.
        broker: its version.
        started: when, as ISO 8601.
        promises: of the system.
        on: the target.
    """

    system: str
    faults: tuple[str, ...]
    seed: int
    seconds: float
    broker: str
    started: str
    promises: Promises
    on: str = "node"


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid")
    manifest: Manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write down what is run."""
    _write(folder / MANIFEST, {"manifest": asdict(manifest)})


def write_verdict(folder: Path, result: Result) -> None:
    """Write the verdict down; an earlier one of the same history is replaced."""
    _write(folder / VERDICT, result.as_dict())


def load(folder: Path) -> tuple[Manifest, Sequence[Event]]:
    """What was run, and its history.

    Raises:
        HistoryError: it is no trial's folder, or its history can't be read.
    """
    return read_manifest(folder), read(folder / HISTORY)


def read_manifest(folder: Path) -> Manifest:
    """What was run.

    Raises:
        HistoryError: it is no trial's folder.
    """
    path = folder / MANIFEST
    try:
        return _Written.model_validate_json(path.read_bytes()).manifest
    except OSError as error:
        raise HistoryError(f"{folder} is not the folder of a trial: {path} can't be read") from error
    except ValidationError as error:
        raise HistoryError(f"{path} does not say what was run: {error.errors()[0]['msg']}") from error


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
