"""What a load is doing right now, of each part in each process, put together: counts, rates, latencies, a verdict.

A part keeps its own totals; a worker tells its parts as they stand with each of its reports, and whoever lost one
report sees the same with the next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from loadtest.part import Part
from loadtest.standing import Standing, together


class Board:
    """All parts, of this process and of others."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._others: dict[str, list[Standing]] = {}
        #: Seconds since the epoch, and all parts together: for the charts.
        self.series: deque[tuple[float, Standing]] = deque(maxlen=3600)

    def clear(self) -> None:
        """A new test begins."""
        self.parts, self._others = [], {}
        self.series.clear()

    def told(self) -> list[dict[str, Any]]:
        """Our own parts, for a master."""
        return [part.standing().told() for part in self.parts]

    def hear(self, worker: str, told: Iterable[dict[str, Any]]) -> None:
        """What a worker tells of its parts."""
        self._others[worker] = [Standing.heard(each) for each in told]

    def standings(self) -> list[Standing]:
        """Every part as it stands."""
        own = [part.standing() for part in self.parts]
        return own + [each for others in self._others.values() for each in others]

    def note(self) -> None:
        """Remember this moment."""
        now_s = time.time()
        for part in self.parts:
            if not part.notes_itself and not part.is_over:
                part.note(now_s)
        if any(not each.is_over for each in self.standings()):
            self.series.append((now_s, together(self.standings())))

    def by_scenario(self) -> dict[str, Standing]:
        """The parts of each scenario together."""
        names = sorted({each.scenario for each in self.standings()})
        return {name: together([each for each in self.standings() if each.scenario == name]) for name in names}
