"""Which processes run, written down so that others can end them; a stranger is never taken for one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from labs.errors import ConfigurationError
from labs.processes import Progress, quiet
from labs.stack.child import END_TIMEOUT_S, ChildRecord


def write_records(path: Path, records: Sequence[ChildRecord]) -> None:
    """Write processes down; who reads meanwhile, or after a crash meanwhile, finds the old or the new list whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps([asdict(record) for record in records]))
    fresh.replace(path)


def read_records(path: Path) -> list[ChildRecord]:
    """The processes that were written down, whether they still run or not."""
    try:
        return [ChildRecord(**fields) for fields in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path} can't be read: end the lab's processes by hand and delete it") from error


def load_records(path: Path) -> list[ChildRecord]:
    """The processes that were written down and that still run."""
    return [record for record in read_records(path) if record.is_running()]


def end_records(path: Path, *, progress: Progress = quiet) -> int:
    """End the processes that were written down; returns how many ran."""
    records = load_records(path)
    for record in sorted(records, key=lambda record: record.name.startswith("stub")):
        record.end(grace_s=END_TIMEOUT_S)
        progress(f"{record.name} ended")
    path.unlink(missing_ok=True)
    return len(records)
