"""A run of the engine as a process of its own, which tells all it knows twice a second: one line of JSON each.

The first line of its input is what to do; a further word, or the end of its input, cuts the run short: what was sent
until then is accounted for all the same, and its queues are removed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from loadtest.engine.child import facts_of, hear, tell, told_to_stop
from loadtest.engine.histogram import Histogram
from loadtest.engine.plan import Plan, PlanError
from loadtest.engine.result import Result, Sample
from loadtest.engine.run import execute
from loadtest.engine.workers import RunFailed


class Teller:
    """Tells of a run while it lasts."""

    def __init__(self) -> None:
        self._latencies: dict[str, Histogram] = {}
        self._stopped = False

    def hear(self, latencies: dict[str, Histogram]) -> None:
        """The histograms that belong to the next sample."""
        self._latencies = latencies

    def tell(self, sample: Sample) -> None:
        """One line; raises `KeyboardInterrupt` once if we have been told to stop."""
        tell("sample", sample=asdict(sample), latencies=facts_of(**self._latencies))
        if not self._stopped and told_to_stop():
            self._stopped = True
            raise KeyboardInterrupt


def told(result: Result) -> dict[str, Any]:
    """The last line of a run."""
    return {
        "sample": asdict(result.samples[-1]),
        "latencies": facts_of(**result.histograms),
        "integrity": result.integrity.as_dict(),
        "limit": asdict(result.limit),
        "censored": result.censored,
        "errors": result.errors,
        "partial": result.partial,
    }


def main() -> int:
    """Do the run that the first line of the input asks for."""
    task = json.loads(hear())
    teller = Teller()
    try:
        plan = Plan(**task["plan"])
        result = execute(plan, task["url"], watch=teller.tell, watch_latencies=teller.hear)
    except (RunFailed, PlanError) as error:
        tell("failed", reason=str(error))
        return 1
    except KeyboardInterrupt:
        tell("failed", reason="it was stopped before it had begun")
        return 1
    tell("result", **told(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
