"""Histories told as stretches of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from labs.notebook.evidence import spans_of
from labs.store.jobs import Step

START = datetime(2026, 1, 1, tzinfo=UTC)


def steps(*pairs: tuple[float, str]) -> list[Step]:
    return [Step(step, START + timedelta(seconds=at), 1, "w", {"attempt": 1}) for at, step in pairs]


def states(*pairs: tuple[float, str], killed_at_s: float | None = None, until_s: float | None = None) -> list[str]:
    killed_at = None if killed_at_s is None else START + timedelta(seconds=killed_at_s)
    spans = spans_of(steps(*pairs), since=START, killed_at=killed_at, until_s=until_s)
    assert all(span.end_s >= span.start_s for span in spans)
    return [span.state for span in spans]


def test_a_plain_job_is_pending_then_processing_then_completed() -> None:
    assert states((0, "pending"), (1, "processing"), (2, "completed")) == ["pending", "processing", "completed"]


def test_a_killed_worker_holds_its_job_until_the_lease_expires() -> None:
    history = [(0, "pending"), (1, "processing"), (5, "lease expired"), (5, "processing"), (6, "completed")]
    assert states(*history, killed_at_s=2) == ["pending", "processing", "held by the dead", "processing", "completed"]


def test_nothing_is_waited_for_between_the_last_attempt_and_the_dead_letter_queue() -> None:
    history = [(0, "processing"), (1, "attempt failed"), (2, "processing"), (3, "attempt failed"), (3.001, "failed")]
    wanted = ["processing", "waiting", "processing", "in the dead-letter queue"]
    assert states(*history, until_s=5) == wanted
