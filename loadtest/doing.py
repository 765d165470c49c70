"""Does a run and keeps everything of it: the engine's result, and what the broker said of itself meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.engine.plan import Plan
from loadtest.engine.run import Watch, execute
from loadtest.place import Place
from loadtest.results.run import Run, recorded
from loadtest.sampling import BrokerWatch


def do(
    plan: Plan,
    where: Place,
    *,
    name: str,
    objective_ms: float | None = None,
    watch: Watch = lambda _: None,
    command: Sequence[str] = (),
) -> Run:
    """Do one run.

    Args:
        where: the broker.
        name: of the run.
        objective_ms: what the 99th percentile from the intended time should not exceed.
        watch: called twice a second.
        command: the command line, to be kept.

    Raises:
        RunFailed, PlanError: see `loadtest.engine.run.execute`.
    """
    with BrokerWatch(where.management, where.virtual_host) as broker:
        result = execute(plan, where.url, watch=watch)
    return recorded(result, name=name, place=where, broker=broker.samples, objective_ms=objective_ms, command=command)
