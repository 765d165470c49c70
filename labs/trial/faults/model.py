"""Faults of the model: every way in which the stub can fail, and slowness."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from labs.llm.control import StubModel
from labs.llm.dials import Constant, Dials, ErrorRates
from labs.llm.dials import Fault as Way
from labs.trial.faults.fault import Fault, with_jobs
from labs.trial.site import MODEL, Site

_SHARE = 0.4
_SLOW_MS = 1200.0
#: What holds a call shall let it go when the trial goes on.
_IMPATIENT = {"drip_interval_ms": 50.0, "hold_s": 4.0}


@contextmanager
def model_fails(way: Way, site: Site) -> Iterator[str]:
    """Some of the calls fail in one way."""
    errors = ErrorRates(**{way.value: _SHARE})
    with site.stack.stub as stub:
        before = stub.summary().outcomes.get(way.value, 0)
        with _turned(stub, MODEL.model_copy(update={"errors": errors, **_IMPATIENT})):
            yield site.seen(
                lambda: stub.summary().outcomes.get(way.value, 0) > before, f"the model's ledger has more {way.value}"
            )


@contextmanager
def model_slow(site: Site) -> Iterator[str]:
    """Every call takes eight times as long."""
    with site.stack.stub as stub, _turned(stub, MODEL.model_copy(update={"latency": Constant(ms=_SLOW_MS)})):
        since_ns = time.monotonic_ns()
        yield site.seen(
            lambda: _slowest_ms(stub, since_ns) >= _SLOW_MS, f"the model's ledger has calls of {_SLOW_MS:g} ms"
        )


@contextmanager
def _turned(stub: StubModel, dials: Dials) -> Iterator[None]:
    stub.set_dials(dials)
    try:
        yield
    finally:
        stub.set_dials(MODEL)


def _slowest_ms(stub: StubModel, since_ns: int) -> float:
    calls = stub.ledger(outcome="ok", limit=50).calls
    ended = [call for call in calls if call.ended_ns is not None and call.started_ns >= since_ns]
    return max(((call.ended_ns or 0) - call.started_ns for call in ended), default=0) / 1e6


def _failing(way: Way) -> Fault:
    return Fault(
        name=f"model-{way.value.replace('_', '-')}",
        begins=f"{_SHARE:.0%} of the model's calls end in: {way.value}",
        heals="the model is well again",
        inject=lambda site: model_fails(way, site),
        hold_s=1.0,
        applies=with_jobs,
    )


MODEL_FAULTS = (
    *map(_failing, Way),
    Fault(
        name="model-slow",
        begins=f"every call to the model takes {_SLOW_MS:g} ms",
        heals="the model is fast again",
        inject=model_slow,
        hold_s=2.0,
        applies=with_jobs,
    ),
)
