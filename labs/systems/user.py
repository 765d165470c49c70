"""Who a request comes from."""

from __future__ import annotations

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user."""

    id: int
    email: str | None = None

    @property
    def uuid(self) -> str:
        """The id as systems show it whose documents name users by UUID."""
        return user_uuid(self.id)


def user_uuid(user_id: int) -> str:
    """A user's id as a UUID."""
    return str(uuid.UUID(int=user_id))
