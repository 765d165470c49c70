"""Asks every probe again and again, each in a thread of its own: a part that hangs delays no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from labs.notebook.experiments.drills.metrics import Metric
from labs.notebook.experiments.drills.probes import Probe, Unanswered

#: A probe that hangs for longer is left behind; its thread ends with the process.
_JOIN_TIMEOUT_S = 5.0


class Sampler:
    """Samples for the length of a block; `series` then holds points (seconds since the clock's start, value)."""

    def __init__(self, probes: Sequence[Probe], *, clock: Callable[[], float]) -> None:
        self._probes = probes
        self._clock = clock
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.series: dict[str, list[tuple[float, float]]] = {}

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._run, args=(probe,), daemon=True) for probe in self._probes]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT_S)

    def _note(self, metric: Metric, value: float) -> None:
        self.series.setdefault(metric.name, []).append((self._clock(), value))

    def _run(self, probe: Probe) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                figures = probe.look()
            except Unanswered:
                figures = {}
            if probe.answers is not None:
                self._note(probe.answers, float(bool(figures)))
            for metric, value in figures.items():
                self._note(metric, value)
            self._stop.wait(max(0.0, probe.every_s - (time.monotonic() - started)))
        probe.close()
