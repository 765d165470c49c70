"""Who a request comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user."""

    id: int
    email: str | None = None
