"""When a failed delivery is tried again."""

from __future__ import annotations

import pytest

from labs.messaging.retry import RetryPolicy

POLICY = RetryPolicy((1000, 2000, 4000))


def test_a_message_is_tried_once_more_than_there_are_delays() -> None:
    assert POLICY.attempts == 4
    assert [POLICY.delay_ms(attempt) for attempt in (1, 2, 3, 4, 99)] == [1000, 2000, 4000, None, None]


def test_without_delays_a_message_is_tried_once() -> None:
    assert RetryPolicy(()).attempts == 1
    assert RetryPolicy(()).delay_ms(1) is None


@pytest.mark.parametrize(
    ("asked_s", "attempt", "waited_ms"),
    [
        (None, 1, 1000),
        (0.5, 1, 1000),  # never less than planned
        (1.5, 1, 2000),  # the shortest that is long enough
        (1.5, 3, 4000),
        (60, 1, 4000),  # the longest there is
    ],
)
def test_who_asks_for_a_wait_gets_one_that_is_long_enough(asked_s: float | None, attempt: int, waited_ms: int) -> None:
    assert POLICY.delay_ms(attempt, at_least_s=asked_s) == waited_ms


def test_asking_for_a_wait_gives_no_more_attempts() -> None:
    assert POLICY.delay_ms(4, at_least_s=1) is None


def test_each_delay_has_a_queue_of_its_own() -> None:
    assert POLICY.queue("work", 2000) == "work.retry.2000"
