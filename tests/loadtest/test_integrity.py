"""All books compared: what is late is told from what is lost, also where a stream can't be asked."""

from __future__ import annotations

import numpy as np
import pytest

from loadtest.engine.integrity import Integrity, compare
from loadtest.engine.ledger import Outcome


def compared(*, confirmed: int, read: int, left: int | None) -> Integrity:
    """One producer's messages, of which the first so many were read."""
    outcome = np.full(confirmed, Outcome.CONFIRMED, np.uint8)
    return compare({0: {"outcome": outcome}}, {0: np.ones(read, np.uint8)}, offered=confirmed, left=left, confirms=True)


@pytest.mark.parametrize(
    ("told", "left", "lost"),
    [
        (40, 40, 0),  # the queue holds what was not read
        (30, 30, 10),
        (0, 0, 40),
        (None, 40, 0),  # a stream that was not read to its end: it holds the rest
    ],
)
def test_what_a_queue_or_a_stream_still_holds_is_late_and_not_lost(told: int | None, left: int, lost: int) -> None:
    found = compared(confirmed=100, read=60, left=told)
    assert (found.left, found.lost, found.is_whole) == (left, lost, lost == 0)


def test_what_was_read_to_its_end_has_nothing_left() -> None:
    assert [compared(confirmed=100, read=100, left=told).left for told in (0, None)] == [0, 0]
