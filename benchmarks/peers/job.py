"""What a contender is told, and the clock that its handler holds: the same for all, of the standard library alone."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path

AMQP_URL = os.environ.get("BENCH_AMQP_URL", "")
JOBS = int(os.environ.get("BENCH_JOBS", "0"))
QUEUE = "bench.jobs"
#: About a kilobyte, the same for all.
PAYLOAD = "x" * 1000


class Stopwatch:
    """Time and CPU time of this process from its first to its last job, written to the file in BENCH_RESULT."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)  # whose next is atomic: Dramatiq's handlers run in threads
        self._began_s = self._began_cpu_s = 0.0

    def tick(self) -> None:
        """Count a job."""
        number = next(self._numbers)
        if number == 1:
            self._began_s, self._began_cpu_s = time.perf_counter(), time.process_time()
        elif number == JOBS:
            self._write(time.perf_counter() - self._began_s, time.process_time() - self._began_cpu_s)

    @staticmethod
    def _write(wall_s: float, cpu_s: float) -> None:
        path = Path(os.environ["BENCH_RESULT"])
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s}))
        beside.rename(path)
