"""The history of a trial: every event once, in the order in which it was written down, and nothing changed afterwards.

An operation is invoked, and ends `ok` (it happened), `fail` (it did not) or `info` (nobody knows): a request that timed
out after it was sent is `info`, never `fail`. Faults are events of the same history. What a database tells is written
when it is read and bears the time at which it happened, so times may go back where indexes don't.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, get_args

import msgspec

from labs.errors import LabError

Kind = Literal["invoke", "ok", "fail", "info"]
KINDS: frozenset[str] = frozenset(get_args(Kind))


class HistoryError(LabError):
    """A history can't be read or written; the text names file, line and what is wrong."""


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """One event, without references to others: a million of them cost the garbage collector nothing.

    What `job`, `queue`, `value` and `count` mean is said with each operation, in `labs.trial.operations`.
    """

    index: int
    at_ns: int
    process: str
    kind: Kind
    operation: str
    request: str = ""
    job: str = ""
    message: str = ""
    queue: str = ""
    attempt: int = 0
    value: str = ""
    count: int = 0
    error: str = ""


_TYPES = {"index": int, "at_ns": int, "attempt": int, "count": int}
_NEEDED = ("index", "at_ns", "process", "kind", "operation")
_FIELDS = frozenset(Event.__struct_fields__)
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)


@dataclass(frozen=True)
class Ids:
    """What an event is about; see `Event`."""

    request: str = ""
    job: str = ""
    message: str = ""
    queue: str = ""
    attempt: int = 0


class History:
    """A history that is being written: each event is in the file before `add` returns. Any thread may add.

    Args:
        path: of a file that doesn't exist yet.

    Raises:
        HistoryError: it can't be made, or it exists: a history is never written over.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self.events: list[Event] = []
        try:
            self._file = path.open("xb")
        except OSError as error:
            raise HistoryError(f"{path} can't be made: {error.strerror}; give another folder") from error

    def add(
        self,
        process: str,
        kind: Kind,
        operation: str,
        ids: Ids | None = None,
        *,
        at_ns: int | None = None,
        value: str = "",
        count: int = 0,
        error: str = "",
    ) -> Event:
        """Write an event down; it happened now, if not said otherwise (`at_ns` of the monotonic clock)."""
        about = ids or Ids()
        with self._lock:
            event = Event(
                index=len(self.events),
                at_ns=time.monotonic_ns() if at_ns is None else at_ns,
                process=process,
                kind=kind,
                operation=operation,
                request=about.request,
                job=about.job,
                message=about.message,
                queue=about.queue,
                attempt=about.attempt,
                value=value,
                count=count,
                error=error,
            )
            self.events.append(event)
            self._file.write(_line(event))
            self._file.flush()
        return event

    def close(self) -> None:
        """Close the file; harmless if it is closed."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def line_of(event: Event) -> str:
    """An event as a line of JSON; what is empty is left out."""
    return _line(event).decode()


def _line(event: Event) -> bytes:
    return _ENCODER.encode(event) + b"\n"


def read(path: Path) -> list[Event]:
    """All events of a file.

    Raises:
        HistoryError: it can't be read, or a line is cut off, out of its order, or not an event.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HistoryError(f"{path} can't be read: {error}") from error
    try:
        events = _DECODER.decode_lines(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        _complain(data, path)
    in_order = all(number == event.index for number, event in enumerate(events))
    if not in_order or len(events) != data.count(b"\n") or data[-1:] not in (b"", b"\n"):
        _complain(data, path)
    return events


def _complain(data: bytes, path: Path) -> NoReturn:
    """Name the first line that is wrong, which takes longer than to see that one is."""
    for number, line in enumerate(data.splitlines(keepends=True)):
        where = f"{path}, line {number + 1}"
        if not line.endswith(b"\n"):
            raise HistoryError(f"{where} is cut off: whoever wrote it was killed; delete that line to check the rest")
        try:
            said = json.loads(line)
        except ValueError as error:
            raise HistoryError(f"{where} is not JSON: {error}") from error
        _check(said, number, where)
    raise HistoryError(f"{path} is no history")


def _check(said: Any, number: int, where: str) -> None:
    if not isinstance(said, dict):
        raise HistoryError(f"{where} is not a JSON object")
    for name, value in said.items():
        if name not in _FIELDS:
            raise HistoryError(f"{where} has an unknown field {name!r}")
        if type(value) is not _TYPES.get(name, str):
            raise HistoryError(f"{where}: {name} is {value!r}, which is no {_TYPES.get(name, str).__name__}")
    missing = ", ".join(name for name in _NEEDED if name not in said)
    if missing:
        raise HistoryError(f"{where} lacks {missing}")
    if said["kind"] not in KINDS:
        raise HistoryError(f"{where}: kind is {said['kind']!r}, not one of {', '.join(sorted(KINDS))}")
    if said["index"] != number:
        raise HistoryError(f"{where} has index {said['index']} instead of {number}: lines are missing or were moved")
