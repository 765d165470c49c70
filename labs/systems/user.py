"""Who a request comes from."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

#: What names of users look like.
USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
USER_NAME_FORM = "letters, digits and . _ @ -, 100 at most"


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user."""

    id: int
    email: str | None = None

    @property
    def uuid(self) -> str:
        """The id as systems show it whose documents name users by UUID."""
        return user_uuid(self.id)


@dataclass(frozen=True, slots=True)
class NamedUser:
    """An authenticated user of a system whose users have names, such as `user123`; a number is a name too."""

    id: str


def user_uuid(user_id: int) -> str:
    """A user's id as a UUID."""
    return str(uuid.UUID(int=user_id))
