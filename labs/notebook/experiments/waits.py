"""Waits for what a chapter has set going."""

from __future__ import annotations

from collections.abc import Callable

from labs.processes import wait_until

_TIMEOUT_S = 60.0


def until(condition: Callable[[], bool], *, what: str) -> None:
    """Wait for something.

    Raises:
        TimeoutError: it did not happen.
    """
    if not wait_until(condition, timeout_s=_TIMEOUT_S, every_s=0.01):
        raise TimeoutError(f"waited {_TIMEOUT_S:g} s for {what}")
