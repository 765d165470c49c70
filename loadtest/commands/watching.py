"""A run as it goes: one line that renews itself on a terminal, one line now and then in a log."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.text import Text

from loadtest.commands import shared
from loadtest.engine.plan import Plan
from loadtest.engine.result import Sample

_LOG_EVERY_S = 5.0
#: Rates are those of the last so many samples: processes tell theirs at moments of their own.
_SMOOTHED = 4


class Ticker:
    """Shows samples; a context manager."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._live = Live(console=shared.err, transient=True, auto_refresh=False) if shared.err.is_terminal else None
        self._seen: deque[Sample] = deque(maxlen=_SMOOTHED)
        self._logged_s = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, sample: Sample) -> None:
        """Show one sample."""
        line = self._line(sample)
        self._seen.append(sample)
        if self._live is not None:
            self._live.update(Text(line), refresh=True)
        elif sample.at_s >= self._logged_s + _LOG_EVERY_S:
            self._logged_s = sample.at_s
            shared.err.print(line, markup=False, soft_wrap=True)

    def _line(self, sample: Sample) -> str:
        before = self._seen[0] if self._seen else None
        length_s = sample.at_s - before.at_s if before is not None else 0.0
        rates = {
            name: (getattr(sample, name) - getattr(before, name)) / length_s if length_s > 0 else 0.0
            for name in ("due", "confirmed", "received")
        }
        state = "draining" if sample.at_s > self._plan.duration_s else f"of {self._plan.duration_s:g} s"
        backlog = max(sample.backlog, 0)
        return (
            f"{max(sample.at_s, 0):5.1f} s {state}   offered {rates['due']:,.0f}/s   "
            f"confirmed {rates['confirmed']:,.0f}/s   received {rates['received']:,.0f}/s   backlog {backlog:,}"
        )
