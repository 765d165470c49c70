"""The stub model's own account of every call it received: the outside truth that checkers compare with.

Totals are exact for ever; single calls are kept up to a cap, the newest of them.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from pydantic import BaseModel, ConfigDict

from labs.llm.dials import Fault

#: About 40 MB at most, and days of ordinary use.
CAPACITY = 100_000

Outcome = Literal["open", "ok", "client_gone"] | Fault


@dataclass(slots=True)
class Entry:
    """A call while the stub works on it."""

    sequence: int
    request_id: str
    prompt_hash: str
    started_ns: int = field(default_factory=time.monotonic_ns)
    started_at: float = field(default_factory=time.time)
    ended_ns: int | None = None
    outcome: Outcome = "open"


class Call(BaseModel):
    """A call as the ledger shows it.

    `outcome` is `open` while the call runs; `ok` once the whole answer was handed to the connection; the fault
    that was dealt; or `client_gone`: the client left before the answer.
    """

    model_config = ConfigDict(frozen=True, from_attributes=True)

    sequence: int
    request_id: str
    prompt_hash: str
    started_ns: int
    started_at: float
    ended_ns: int | None
    outcome: Outcome


class Summary(BaseModel):
    """Totals since the ledger was cleared; the calls per request id are those of the calls still kept."""

    model_config = ConfigDict(frozen=True)

    total: int
    open: int
    outcomes: dict[str, int]
    request_ids: int
    max_calls_per_request_id: int
    kept: int


class Page(BaseModel):
    """The newest calls that match, oldest first, and the totals."""

    model_config = ConfigDict(frozen=True)

    calls: tuple[Call, ...]
    summary: Summary


class Ledger:
    """Appends calls, ends them, counts them. Calls without a request id are not counted per request id."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._sequence = 0
        self._clear()

    def _clear(self) -> None:
        self._entries: deque[Entry] = deque()
        self._outcomes: Counter[Outcome] = Counter()
        self._per_request_id: Counter[str] = Counter()
        self._total = 0

    def begin(self, *, request_id: str, prompt_hash: str) -> Entry:
        """Write a call down as open."""
        self._sequence += 1
        self._total += 1
        entry = Entry(self._sequence, request_id, prompt_hash)
        self._entries.append(entry)
        if request_id:
            self._per_request_id[request_id] += 1
        self._forget_oldest()
        return entry

    def end(self, entry: Entry, outcome: Outcome) -> None:
        """Write down how a call ended; one from before `clear` no longer counts."""
        entry.ended_ns = time.monotonic_ns()
        entry.outcome = outcome
        if entry.sequence > self._sequence - self._total:
            self._outcomes[outcome] += 1

    def clear(self) -> None:
        """Forget every call; sequence numbers go on."""
        self._clear()

    def page(self, *, request_id: str | None = None, outcome: str | None = None, limit: int = 1000) -> Page:
        """The newest `limit` calls that match."""
        matching = (
            entry
            for entry in reversed(self._entries)
            if (request_id is None or entry.request_id == request_id) and (outcome is None or entry.outcome == outcome)
        )
        newest = [Call.model_validate(entry) for entry in islice(matching, limit)]
        return Page(calls=tuple(reversed(newest)), summary=self.summary())

    def summary(self) -> Summary:
        """The totals."""
        return Summary(
            total=self._total,
            open=self._total - self._outcomes.total(),
            outcomes={str(outcome): count for outcome, count in self._outcomes.items()},
            request_ids=len(self._per_request_id),
            max_calls_per_request_id=max(self._per_request_id.values(), default=0),
            kept=len(self._entries),
        )

    def _forget_oldest(self) -> None:
        while len(self._entries) > self._capacity:
            request_id = self._entries.popleft().request_id
            if request_id:
                self._per_request_id[request_id] -= 1
                if not self._per_request_id[request_id]:
                    del self._per_request_id[request_id]
